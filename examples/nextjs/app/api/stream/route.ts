// Sends five chunks, each as soon as it is there.
import { setTimeout as pause } from "node:timers/promises";

export const dynamic = "force-dynamic";

async function* chunks() {
  for (let n = 1; n <= 5; n++) {
    yield `chunk ${n} ${new Date().toISOString()}\n`;
    await pause(200);
  }
}

export function GET() {
  const body = ReadableStream.from(chunks()).pipeThrough(new TextEncoderStream());
  return new Response(body, { headers: { "content-type": "text/plain; charset=utf-8" } });
}
