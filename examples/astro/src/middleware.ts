import { defineMiddleware } from "astro:middleware";

// Runs in front of every page: tells the page when the request came in, and marks the response.
export const onRequest = defineMiddleware(async (context, next) => {
  context.locals.receivedAt = new Date().toISOString();
  const response = await next();
  response.headers.set("x-middleware", "1");
  return response;
});
