// Platform middleware on the Node runtime: a guard in front of one folder.
import { next } from "@vercel/functions";

export const config = { runtime: "nodejs", matcher: "/guarded/:path*" };

export default function middleware(request) {
  if (new URL(request.url).searchParams.get("key") === "sesame") {
    return next({ headers: { "x-guard": "passed" } });
  }
  return Response.json({ error: "guarded" }, { status: 401 });
}
