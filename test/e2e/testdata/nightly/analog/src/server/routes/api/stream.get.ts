// Two pieces, one second apart.
import { defineEventHandler, setHeader } from "h3";

export default defineEventHandler((event) => {
  setHeader(event, "content-type", "text/plain; charset=utf-8");
  return new ReadableStream({
    async start(controller) {
      const tell = () => controller.enqueue(new TextEncoder().encode(`${new Date().toISOString()}\n`));
      tell();
      await new Promise((resolve) => setTimeout(resolve, 1000));
      tell();
      controller.close();
    },
  });
});
