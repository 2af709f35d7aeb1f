export default function Boom() {
  throw new Error("Rocks ahead");
}
