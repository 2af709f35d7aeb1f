import { json } from "@sveltejs/kit";

// Runs on the edge runtime: the web's own APIs and nothing else.
export const config = { runtime: "edge" };

export const GET = ({ url }) =>
  json({ runtime: typeof EdgeRuntime === "string" ? EdgeRuntime : "unknown", url: url.href });
