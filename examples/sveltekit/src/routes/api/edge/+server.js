import { json } from "@sveltejs/kit";

// Runs on the edge runtime: web-standard APIs only.
export const config = { runtime: "edge" };

export const GET = ({ url }) =>
  json({ runtime: typeof EdgeRuntime === "string" ? EdgeRuntime : "unknown", url: url.href });
