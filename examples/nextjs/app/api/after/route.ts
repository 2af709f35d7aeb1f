// Answers at once, and continues to work after the response.
import { setTimeout as pause } from "node:timers/promises";
import { after, type NextRequest } from "next/server";

export function GET(request: NextRequest) {
  const marker = request.nextUrl.searchParams.get("marker") ?? "none";
  after(async () => {
    await pause(100);
    console.log(`after the response, marker ${marker}`);
  });
  return Response.json({ answered: marker });
}
