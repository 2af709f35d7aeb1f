import { createFileRoute } from "@tanstack/react-router";

export const Route = createFileRoute("/api/hello")({
  server: {
    handlers: {
      GET: ({ request }) => Response.json({ url: request.url }),
      POST: async ({ request }) => Response.json({ echo: await request.json() }, { status: 201 }),
    },
  },
});
