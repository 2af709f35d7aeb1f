// Answers at once, and continues to work after the response, like `waitUntil` of @vercel/functions.
import { setTimeout as pause } from "node:timers/promises";
import type { NextRequest } from "next/server";

export const dynamic = "force-dynamic";

type Context = { get(): { waitUntil(work: Promise<unknown>): void } };

export function GET(request: NextRequest) {
  const marker = request.nextUrl.searchParams.get("marker") ?? "none";
  const context = (globalThis as unknown as Record<symbol, Context>)[Symbol.for("@vercel/request-context")];
  context.get().waitUntil(pause(100).then(() => console.log(`after the response, marker ${marker}`)));
  return Response.json({ answered: marker });
}
