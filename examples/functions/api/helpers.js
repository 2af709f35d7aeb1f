// A Node handler with the helpers: what each of them made of the request.
export default function handler(req, res) {
  res.status(200).json({ method: req.method, url: req.url, query: req.query, cookies: req.cookies, body: req.body ?? null });
}
