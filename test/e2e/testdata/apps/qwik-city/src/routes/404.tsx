import { component$ } from "@builder.io/qwik";

export default component$(() => <p data-testid="error">404</p>);
