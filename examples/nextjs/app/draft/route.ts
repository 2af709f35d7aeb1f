// Turns draft mode on (or with ?off, off), then shows the page it affects.
import { draftMode } from "next/headers";
import { redirect } from "next/navigation";
import type { NextRequest } from "next/server";

export async function GET(request: NextRequest) {
  const draft = await draftMode();
  if (request.nextUrl.searchParams.has("off")) draft.disable();
  else draft.enable();
  redirect("/isr");
}
