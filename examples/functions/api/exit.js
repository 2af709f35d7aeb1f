// Ends its process with ?code; the next request needs a new one.
export default function handler(req) {
  process.exit(Number(req.query.code ?? 1));
}
