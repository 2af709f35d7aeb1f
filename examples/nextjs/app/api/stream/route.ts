// Sends five chunks, each as soon as it is there.
import { setTimeout as pause } from "node:timers/promises";

export const dynamic = "force-dynamic";

export function GET() {
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    async start(controller) {
      for (let n = 1; n <= 5; n++) {
        controller.enqueue(encoder.encode(`chunk ${n} ${new Date().toISOString()}\n`));
        await pause(200);
      }
      controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/plain; charset=utf-8" } });
}
