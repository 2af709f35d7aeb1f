// Ends its process with ?code; what comes next must find a new one.
export default function handler(req) {
  process.exit(Number(req.query.code ?? 1));
}
