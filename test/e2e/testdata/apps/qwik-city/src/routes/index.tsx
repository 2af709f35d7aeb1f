import { component$, useSignal } from "@builder.io/qwik";
import { server$ } from "@builder.io/qwik-city";

const where = server$(function () {
  return this.url.pathname;
});

export default component$(() => {
  const answer = useSignal("");
  return (
    <main>
      <h1>Qwik City on Lateen</h1>
      <button onClick$={async () => (answer.value = await where())}>Ask the server</button>
      <output data-testid="answer">{answer.value}</output>
    </main>
  );
});
