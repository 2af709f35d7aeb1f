export const load = ({ request, url, cookies, getClientAddress }) => ({
  renderedAt: new Date().toISOString(),
  host: url.host,
  client: getClientAddress(),
  userAgent: request.headers.get("user-agent"),
  cookies: cookies.getAll().map(({ name, value }) => `${name}=${value}`),
  search: url.search,
});
