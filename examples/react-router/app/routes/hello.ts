export const loader = ({ request }: { request: Request }) =>
  Response.json({ hello: new URL(request.url).searchParams.get("name") ?? "world" });

export const action = async ({ request }: { request: Request }) =>
  Response.json({ echo: await request.json() }, { status: 201 });
