// Runs on the edge runtime: web-standard APIs only.
import type { NextRequest } from "next/server";

export const runtime = "edge";

export function GET(request: NextRequest) {
  return Response.json({
    runtime: typeof EdgeRuntime === "string" ? EdgeRuntime : "unknown",
    name: request.nextUrl.searchParams.get("name"),
    userAgent: request.headers.get("user-agent"),
  });
}

declare const EdgeRuntime: string | undefined;
