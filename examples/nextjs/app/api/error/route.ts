// Throws: this request fails, and the next one succeeds.
export const dynamic = "force-dynamic";

export function GET(): Response {
  throw new Error("error: this endpoint always throws");
}
