import { createAsync, query, useParams } from "@solidjs/router";
import { HttpStatusCode } from "@solidjs/start";
import { Show } from "solid-js";
import { getRequestEvent } from "solid-js/web";

const post = query(async (slug: string) => {
  "use server";
  const { request } = getRequestEvent()!;
  return slug === "lost" ? null : { slug, cookies: request.headers.get("cookie") ?? "none", url: request.url };
}, "post");

export default function Post() {
  const params = useParams();
  const found = createAsync(() => post(params.slug!), { deferStream: true });
  return (
    <Show when={found()} fallback={<Lost />}>
      {(p) => (
        <main>
          <h1 data-testid="slug">{p().slug}</h1>
          <p data-testid="cookies">{p().cookies}</p>
          <p data-testid="url">{p().url}</p>
        </main>
      )}
    </Show>
  );
}

function Lost() {
  return (
    <>
      <HttpStatusCode code={404} />
      <p data-testid="error">404</p>
    </>
  );
}
