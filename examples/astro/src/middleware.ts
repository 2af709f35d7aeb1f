import { defineMiddleware } from "astro:middleware";

// Runs before every page: passes the time of the request to the page, and marks the response.
export const onRequest = defineMiddleware(async (context, next) => {
  context.locals.receivedAt = new Date().toISOString();
  const response = await next();
  response.headers.set("x-middleware", "1");
  return response;
});
