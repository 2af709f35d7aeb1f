// Cached for two seconds, then regenerated in the background of the next response.
export default defineEventHandler((event) => ({ name: getRouterParam(event, "name", { decode: true }), renderedAt: new Date().toISOString() }));
