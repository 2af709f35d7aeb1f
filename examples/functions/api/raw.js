// Plain node:http, no helper: two writes, a repeated header, a trailer-free end.
export default function handler(req, res) {
  res.writeHead(200, { "content-type": "text/plain; charset=utf-8", "set-cookie": ["a=1", "b=2"] });
  res.write("first\n");
  res.end("second\n");
}
