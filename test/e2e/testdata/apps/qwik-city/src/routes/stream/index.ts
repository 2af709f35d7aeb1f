import type { RequestHandler } from "@builder.io/qwik-city";

// Two pieces, one second apart.
export const onGet: RequestHandler = async ({ headers, getWritableStream }) => {
  headers.set("content-type", "text/plain; charset=utf-8");
  const writer = getWritableStream().getWriter();
  const tell = () => writer.write(new TextEncoder().encode(`${new Date().toISOString()}\n`));
  await tell();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await tell();
  await writer.close();
};
