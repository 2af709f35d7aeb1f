import { createFileRoute } from "@tanstack/react-router";
import { createServerFn } from "@tanstack/react-start";

const where = createServerFn({ method: "GET" }).handler(() => ({ runtime: `node ${process.versions.node.split(".")[0]}` }));

export const Route = createFileRoute("/")({
  loader: () => where(),
  component: () => (
    <main>
      <h1>TanStack Start on Lateen</h1>
      <dl>
        <dt>Runtime</dt>
        <dd data-testid="runtime">{Route.useLoaderData().runtime}</dd>
      </dl>
    </main>
  ),
});
