// A Node handler that answers with the results of the helpers.
export default function handler(req, res) {
  res.status(200).json({ method: req.method, url: req.url, query: req.query, cookies: req.cookies, body: req.body ?? null });
}
