import { action, redirect, useSubmission } from "@solidjs/router";
import { Show } from "solid-js";

const greet = action(async (form: FormData) => {
  "use server";
  const name = String(form.get("name") ?? "");
  if (name === "") return redirect("/");
  return `Welcome aboard, ${name}!`;
}, "greet");

export default function Form() {
  const submission = useSubmission(greet);
  return (
    <form action={greet} method="post">
      <label>
        Name <input name="name" />
      </label>
      <button>Sign on</button>
      <Show when={submission.result}>{(greeting) => <output data-testid="greeting">{greeting()}</output>}</Show>
    </form>
  );
}
