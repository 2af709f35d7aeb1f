import { json } from "@sveltejs/kit";

export const GET = ({ url }) => json({ hello: url.searchParams.get("name") ?? "world", url: url.href });

export async function POST({ request }) {
  try {
    return json({ echo: await request.json() }, { status: 201 });
  } catch {
    return json({ error: "the body is not JSON" }, { status: 400 });
  }
}
