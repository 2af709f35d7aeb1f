import { Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { home, page } from "./page.js";

const app = new Hono();

app.use(async (c, next) => {
  await next();
  c.header("x-framework", "hono");
});

app.get("/", (c) => c.html(home(new Date().toISOString())));

app.get("/api/hello", (c) => c.json({ hello: c.req.query("name") ?? "world", url: c.req.url }));

app.get("/api/users/:id", (c) => c.json({ id: c.req.param("id") }));

app.post("/api/echo", async (c) => {
  const body = await c.req.json().catch(() => null);
  return body === null ? c.json({ error: "the body is not JSON" }, 400) : c.json({ echo: body }, 201);
});

app.get("/events", (c) =>
  streamSSE(c, async (stream) => {
    for (let id = 1; id <= 5 && !stream.aborted; id++) {
      await stream.writeSSE({ id: String(id), data: new Date().toISOString() });
      await stream.sleep(200);
    }
  }),
);

app.get("/home", (c) => c.redirect("/", 301));

app.get("/boom", () => {
  throw new Error("boom: this route always throws");
});

app.onError((error, c) => {
  console.error(error);
  return c.json({ error: error.message }, 500);
});

app.notFound((c) => c.html(page("Nothing here", `<h1 data-testid="not-found">Nothing on this heading</h1>`), 404));

export default app;
