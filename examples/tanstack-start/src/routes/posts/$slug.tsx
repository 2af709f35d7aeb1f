import { createFileRoute, notFound } from "@tanstack/react-router";

export const Route = createFileRoute("/posts/$slug")({
  loader: ({ params }) => {
    if (params.slug === "lost") throw notFound();
    return { slug: params.slug };
  },
  component: () => <h1 data-testid="slug">{Route.useLoaderData().slug}</h1>,
});
