// Reads and writes JSON, and sets a header.
import type { NextRequest } from "next/server";

export function GET(request: NextRequest) {
  const name = request.nextUrl.searchParams.get("name") ?? "world";
  return Response.json({ hello: name, url: request.url }, { headers: { "x-hello": name } });
}

export async function POST(request: NextRequest) {
  try {
    return Response.json({ echo: await request.json() }, { status: 201 });
  } catch {
    return Response.json({ error: "the body is not JSON" }, { status: 400 });
  }
}
