export function loader(): null {
  throw new Error("Rocks ahead");
}

export default () => null;
