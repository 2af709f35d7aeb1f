import { Form, useActionData } from "react-router";

export async function action({ request }: { request: Request }) {
  const name = String((await request.formData()).get("name") ?? "");
  return { greeting: `Welcome aboard, ${name}!` };
}

export default function Greeting() {
  const done = useActionData<typeof action>();
  return (
    <Form method="post">
      <input name="name" />
      <output data-testid="greeting">{done?.greeting}</output>
    </Form>
  );
}
