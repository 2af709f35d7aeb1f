// Shows what a visitor gets when a page throws.
export function load() {
  throw new Error("boom: this page always throws");
}
