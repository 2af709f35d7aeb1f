// Kept for two seconds by a route rule, then made anew behind the next answer.
export default function Kept() {
  return <time data-testid="rendered-at">{new Date().toISOString()}</time>;
}
