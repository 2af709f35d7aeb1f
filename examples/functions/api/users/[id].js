// A dynamic segment: it arrives in the query.
export default function handler(req, res) {
  res.json({ id: req.query.id, query: req.query, url: req.url });
}
