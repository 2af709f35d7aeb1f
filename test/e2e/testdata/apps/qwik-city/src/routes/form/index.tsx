import { component$ } from "@builder.io/qwik";
import { Form, routeAction$ } from "@builder.io/qwik-city";

export const useGreet = routeAction$((form, { fail }) =>
  form.name ? { greeting: `Welcome aboard, ${form.name}!` } : fail(400, { greeting: "Who are you?" }),
);

export default component$(() => {
  const action = useGreet();
  return (
    <Form action={action}>
      <label>
        Name <input name="name" />
      </label>
      <button>Sign on</button>
      <output data-testid="greeting">{action.value?.greeting}</output>
    </Form>
  );
});
