export default defineEventHandler((event) => {
  const { name = "world" } = getQuery(event);
  return { hello: name, url: getRequestURL(event).href };
});
