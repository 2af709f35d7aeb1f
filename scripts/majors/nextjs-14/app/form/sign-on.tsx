"use client";

// @ts-ignore: without types
import { useFormState } from "react-dom";
import { signOn } from "./actions";

export function SignOn() {
  const [greeting, action] = useFormState(signOn, "");
  return (
    <form action={action}>
      <input name="name" aria-label="Your name" placeholder="Your name" autoComplete="off" required />
      <button>Sign on</button>
      <output data-testid="greeting">{greeting}</output>
    </form>
  );
}
