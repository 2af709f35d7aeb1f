/** What a web handler can tell about a request. */
export function describe(request) {
  const { pathname, searchParams } = new URL(request.url);
  return { method: request.method, pathname, query: Object.fromEntries(searchParams) };
}
