"use client";

import { useActionState } from "react";
import { signOn } from "./actions";

export function SignOn() {
  const [greeting, action, pending] = useActionState(signOn, "");
  return (
    <form action={action}>
      <input name="name" aria-label="Your name" placeholder="Your name" autoComplete="off" required />
      <button disabled={pending}>Sign on</button>
      <output data-testid="greeting">{greeting}</output>
    </form>
  );
}
