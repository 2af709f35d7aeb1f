"use server";

import { revalidatePath } from "next/cache";
import { cookies } from "next/headers";

/** Adds the name in the form to the crew and returns a greeting for it. */
export async function signOn(_previous: string, form: FormData): Promise<string> {
  const name = String(form.get("name") ?? "").replace(/[^\p{L}\p{N} '-]/gu, "").trim().slice(0, 40);
  if (!name) return "Tell us a name first.";

  const jar = await cookies();
  const crew = jar.get("crew")?.value.split(",") ?? [];
  jar.set("crew", [...crew, name].slice(-10).join(","), { httpOnly: true, sameSite: "lax" });
  revalidatePath("/form");
  return `Welcome aboard, ${name}!`;
}
