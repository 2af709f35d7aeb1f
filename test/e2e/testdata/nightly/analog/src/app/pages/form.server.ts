import { type PageServerAction, fail, json } from "@analogjs/router/server/actions";
import { readFormData } from "h3";

export async function action({ event }: PageServerAction) {
  const name = (await readFormData(event)).get("name");
  return name ? json({ greeting: `Welcome aboard, ${name}!` }) : fail(422, { name: "Who are you?" });
}
