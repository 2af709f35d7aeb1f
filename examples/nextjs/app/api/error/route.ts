// Throws: one failed request, no harm to the next.
export const dynamic = "force-dynamic";

export function GET(): Response {
  throw new Error("error: this endpoint always throws");
}
