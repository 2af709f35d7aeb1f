// Sends the visitor elsewhere: ?to=/path, 307 unless ?status says otherwise.
export default function handler(req, res) {
  const to = String(req.query.to ?? "/");
  const local = /^\/(?![/\\])/.test(to) ? to : "/";
  res.redirect(Number(req.query.status ?? 307), local);
}
