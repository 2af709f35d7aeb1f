// Throws: this request fails, the instance lives on.
export default function handler() {
  throw new Error("thrown on purpose");
}
