import { setTimeout as pause } from "node:timers/promises";

// Sends five chunks, each as soon as it is there.
export default defineEventHandler((event) => {
  setHeader(event, "content-type", "text/plain; charset=utf-8");
  const encoder = new TextEncoder();
  return new ReadableStream({
    async start(controller) {
      for (let n = 1; n <= 5; n++) {
        controller.enqueue(encoder.encode(`chunk ${n} ${new Date().toISOString()}\n`));
        await pause(200);
      }
      controller.close();
    },
  });
});
