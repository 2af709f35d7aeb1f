// Each kind of value that res.send takes: ?as=text, json, bytes or empty.
export default function handler(req, res) {
  switch (req.query.as) {
    case "json":
      return res.status(201).send({ sent: "json" });
    case "bytes":
      return res.send(Buffer.from([1, 2, 3]));
    case "empty":
      return res.status(204).send("dropped");
    default:
      return res.status(418).send("short and stout");
  }
}
