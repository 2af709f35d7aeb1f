// Runs before every page, on the edge runtime.
import { NextResponse, type NextRequest } from "next/server";

export function middleware(request: NextRequest) {
  const { pathname } = request.nextUrl;

  if (pathname === "/old") {
    return NextResponse.redirect(new URL("/dynamic", request.url));
  }
  if (pathname === "/blocked") {
    return NextResponse.json({ error: "blocked by middleware" }, { status: 403 });
  }

  const headers = new Headers(request.headers);
  headers.set("x-from-middleware", pathname);

  const response =
    pathname === "/rewritten"
      ? NextResponse.rewrite(new URL("/dynamic?from=rewrite", request.url), { request: { headers } })
      : NextResponse.next({ request: { headers } });
  response.headers.set("x-middleware", "1");
  return response;
}

export const config = { matcher: "/((?!_next/|icon.svg).*)" };
