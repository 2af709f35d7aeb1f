// The edge runtime: web APIs only, and imports of one's own files.
import { describe } from "../lib/describe.js";

export const config = { runtime: "edge" };

export default async function handler(request) {
  return Response.json({
    runtime: typeof EdgeRuntime === "string" ? EdgeRuntime : "unknown",
    node: typeof process === "object" && Boolean(process.versions?.node),
    ...describe(request),
    body: await request.text(),
  });
}
