// Every header that reached the function, as it arrived.
export default function handler(req, res) {
  res.json(req.headers);
}
