// Kept for two seconds, then made anew behind the next answer.
export default defineEventHandler((event) => ({ name: getRouterParam(event, "name", { decode: true }), renderedAt: new Date().toISOString() }));
