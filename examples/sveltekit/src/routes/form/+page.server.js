import { fail } from "@sveltejs/kit";

export const load = ({ cookies }) => ({
  renderedAt: new Date().toISOString(),
  crew: cookies.get("crew")?.split(",") ?? [],
});

export const actions = {
  default: async ({ request, cookies }) => {
    const form = await request.formData();
    const name = String(form.get("name") ?? "").replace(/[^\p{L}\p{N} '-]/gu, "").trim().slice(0, 40);
    if (!name) return fail(400, { greeting: "Tell us a name first." });

    const crew = cookies.get("crew")?.split(",") ?? [];
    cookies.set("crew", [...crew, name].slice(-10).join(","), { path: "/", secure: false });
    return { greeting: `Welcome aboard, ${name}!` };
  },
};
