import type { RequestHandler } from "@builder.io/qwik-city";

export const onGet: RequestHandler = ({ json, url, headers }) => {
  headers.set("x-example", "qwik-city");
  json(200, { url: url.href, runtime: (globalThis as { EdgeRuntime?: string }).EdgeRuntime ?? "node" });
};

export const onPost: RequestHandler = async ({ json, parseBody }) => {
  json(201, { echo: await parseBody() });
};
