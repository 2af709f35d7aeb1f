// Server-sent events: five of them, ?ms apart (200 by default), each sent at once.
import { setTimeout as pause } from "node:timers/promises";

export function GET(request) {
  const ms = Math.min(Number(new URL(request.url).searchParams.get("ms") ?? 200), 2000);
  const encoder = new TextEncoder();
  let open = true;
  const body = new ReadableStream({
    async start(controller) {
      for (let id = 1; id <= 5 && open; id++) {
        controller.enqueue(encoder.encode(`id: ${id}\ndata: ${new Date().toISOString()}\n\n`));
        await pause(ms);
      }
      if (open) controller.close();
    },
    cancel() {
      open = false;
      console.log("events: the reader went away");
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
}
