import { useLoaderData } from "react-router";

export function loader({ params }: { params: { slug: string } }) {
  if (params.slug === "lost") throw new Response("No such post", { status: 404 });
  return { slug: params.slug };
}

export default function Post() {
  return <h1 data-testid="slug">{useLoaderData<typeof loader>().slug}</h1>;
}
