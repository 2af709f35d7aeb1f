import type { APIEvent } from "@solidjs/start/server";

export const GET = ({ request }: APIEvent) => Response.json({ url: request.url });

export const POST = async ({ request }: APIEvent) => Response.json({ echo: await request.json() }, { status: 201 });
