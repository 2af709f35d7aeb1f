export default {
  fetch(request: Request): Response {
    const url = new URL(request.url);
    return Response.json({ runtime: 'bun', version: Bun.version.split('.')[0], method: request.method, query: url.search });
  },
};
