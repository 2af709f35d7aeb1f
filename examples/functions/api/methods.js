// One export a method; any other method is answered 405.
export function GET(request) {
  return new Response(`GET ${new URL(request.url).pathname}\n`);
}

export async function POST(request) {
  return Response.json({ received: await request.text() }, { status: 201 });
}
