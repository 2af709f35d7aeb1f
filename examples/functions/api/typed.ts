// TypeScript, compiled by the build.
type Greeting = { hello: string; at: string };

export function GET(request: Request): Response {
  const name: string = new URL(request.url).searchParams.get("name") ?? "world";
  const greeting: Greeting = { hello: name, at: new Date().toISOString() };
  return Response.json(greeting);
}
