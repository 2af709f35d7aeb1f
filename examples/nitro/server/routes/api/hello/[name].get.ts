export default defineEventHandler((event) => ({
  hello: getRouterParam(event, "name", { decode: true }),
  query: getQuery(event),
  url: getRequestURL(event).href,
}));
