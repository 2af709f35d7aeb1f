// Sends five chunks, each as soon as it is ready.
import { setTimeout as pause } from "node:timers/promises";

export const dynamic = "force-dynamic";

export function GET() {
  const encoder = new TextEncoder();
  let n = 0;
  const body = new ReadableStream({
    async pull(controller) {
      if (n > 0) await pause(200);
      controller.enqueue(encoder.encode(`chunk ${++n} ${new Date().toISOString()}\n`));
      if (n === 5) controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/plain; charset=utf-8" } });
}
