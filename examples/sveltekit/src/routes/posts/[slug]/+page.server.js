import { error } from "@sveltejs/kit";

// Cached until the next deployment, separately for each slug.
export const config = { isr: { expiration: false } };

export function load({ params }) {
  if (params.slug === "lost") error(404, "No such post");
  return { slug: params.slug, renderedAt: new Date().toISOString() };
}
