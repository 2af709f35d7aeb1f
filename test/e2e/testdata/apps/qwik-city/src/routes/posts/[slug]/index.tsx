import { component$ } from "@builder.io/qwik";
import { routeLoader$ } from "@builder.io/qwik-city";

export const usePost = routeLoader$(({ params, cookie, url, error }) => {
  if (params.slug === "lost") throw error(404, "No such post");
  const visits = 1 + Number(cookie.get("visits")?.value ?? 0);
  cookie.set("visits", String(visits), { path: "/", httpOnly: true });
  return { slug: params.slug, visits, url: url.href };
});

export default component$(() => {
  const post = usePost();
  return (
    <main>
      <h1 data-testid="slug">{post.value.slug}</h1>
      <p data-testid="visits">{post.value.visits}</p>
      <p data-testid="url">{post.value.url}</p>
    </main>
  );
});
