export default defineEventHandler(async (event) => ({ echo: await readBody(event) }));
