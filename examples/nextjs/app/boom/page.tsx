export const dynamic = "force-dynamic";

// Throws, to show the error page.
export default function Boom(): never {
  throw new Error("boom: this page always throws");
}
