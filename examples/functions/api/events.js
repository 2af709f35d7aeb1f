// Server-sent events: five of them, ?ms apart (200 by default), each sent at once.
import { setTimeout as pause } from "node:timers/promises";

async function* events(ms) {
  try {
    for (let id = 1; id <= 5; id++) {
      yield `id: ${id}\ndata: ${new Date().toISOString()}\n\n`;
      await pause(ms);
    }
  } finally {
    console.log("events: the stream ended"); // also when the client disconnects
  }
}

export function GET(request) {
  const ms = Math.min(Number(new URL(request.url).searchParams.get("ms") ?? 200), 2000);
  const body = ReadableStream.from(events(ms)).pipeThrough(new TextEncoderStream());
  return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
}
