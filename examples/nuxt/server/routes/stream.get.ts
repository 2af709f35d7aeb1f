import { setTimeout as pause } from "node:timers/promises";

async function* chunks() {
  for (let n = 1; n <= 5; n++) {
    yield `chunk ${n} ${new Date().toISOString()}\n`;
    await pause(200);
  }
}

// Sends five chunks, each as soon as it is ready.
export default defineEventHandler((event) => {
  setHeader(event, "content-type", "text/plain; charset=utf-8");
  return ReadableStream.from(chunks()).pipeThrough(new TextEncoderStream());
});
