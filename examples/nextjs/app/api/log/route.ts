// Writes lines that carry the marker of the query to both log streams.
import type { NextRequest } from "next/server";

export function GET(request: NextRequest) {
  const marker = request.nextUrl.searchParams.get("marker") ?? "none";
  console.log(`log line, marker ${marker}`);
  console.error(`error line, marker ${marker}`);
  return Response.json({ logged: marker });
}
