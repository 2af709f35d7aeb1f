import { createAsync, query } from "@solidjs/router";
import { Suspense } from "solid-js";

const later = query(async () => {
  "use server";
  await new Promise((resolve) => setTimeout(resolve, 1000));
  return new Date().toISOString();
}, "later");

// The page is sent at once, and its slow part follows in the same response.
export default function Stream() {
  const second = createAsync(() => later());
  return (
    <main>
      <p>{new Date().toISOString()}</p>
      <Suspense fallback={<p>…</p>}>
        <p>{second()}</p>
      </Suspense>
    </main>
  );
}
