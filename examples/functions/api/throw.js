// Throws: this request fails, and the instance stays.
export default function handler() {
  throw new Error("thrown on purpose");
}
