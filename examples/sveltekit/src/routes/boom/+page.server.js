// Throws, to show the error page.
export function load() {
  throw new Error("boom: this page always throws");
}
