// One export for each method; other methods are answered with 405.
export function GET(request) {
  return new Response(`GET ${new URL(request.url).pathname}\n`);
}

export async function POST(request) {
  return Response.json({ received: await request.text() }, { status: 201 });
}
