// Invalidates the cached data of a tag or a path.
import { revalidatePath, revalidateTag } from "next/cache";
import type { NextRequest } from "next/server";

export function GET(request: NextRequest) {
  const tag = request.nextUrl.searchParams.get("tag");
  const path = request.nextUrl.searchParams.get("path");
  if (tag) revalidateTag(tag);
  if (path) revalidatePath(path);
  return Response.json({ revalidated: { tag, path } });
}
