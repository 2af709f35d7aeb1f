import type { APIRoute } from "astro";

export const prerender = false;

export const GET: APIRoute = ({ url }) =>
  Response.json({ hello: url.searchParams.get("name") ?? "world", url: url.href });

export const POST: APIRoute = async ({ request }) => {
  try {
    return Response.json({ echo: await request.json() }, { status: 201 });
  } catch {
    return Response.json({ error: "the body is not JSON" }, { status: 400 });
  }
};
