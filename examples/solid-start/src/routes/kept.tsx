// Cached for two seconds by a route rule, then regenerated in the background of the next response.
export default function Kept() {
  return <time data-testid="rendered-at">{new Date().toISOString()}</time>;
}
