import { component$ } from "@builder.io/qwik";

export default component$(() => <time data-testid="rendered-at">{new Date().toISOString()}</time>);
