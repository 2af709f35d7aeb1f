// Answers at once and logs ?marker half a second later, kept alive by waitUntil.
import { setTimeout as pause } from "node:timers/promises";
import { waitUntil } from "@vercel/functions";

export function GET(request) {
  const marker = new URL(request.url).searchParams.get("marker") ?? "none";
  waitUntil(pause(500).then(() => console.log(`background work done, marker ${marker}`)));
  return Response.json({ answered: marker });
}
