export default defineEventHandler(async (event) => {
  const body = await readBody(event).catch(() => undefined);
  if (typeof body !== "object") {
    setResponseStatus(event, 400);
    return { error: "the body is not JSON" };
  }
  setResponseStatus(event, 201);
  return { echo: body };
});
