export const dynamic = "force-dynamic";

// Shows what a visitor gets when a page throws.
export default function Boom(): never {
  throw new Error("boom: this page always throws");
}
