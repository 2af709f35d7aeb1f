/** Returns the properties of a request that a web handler sees. */
export function describe(request) {
  const { pathname, searchParams } = new URL(request.url);
  return { method: request.method, pathname, query: Object.fromEntries(searchParams) };
}
