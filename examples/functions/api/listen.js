// An HTTP server, as a framework would start one; the platform chooses the port.
import { createServer } from "node:http";

const server = createServer((req, res) => {
  res.setHeader("content-type", "text/plain; charset=utf-8");
  res.end(`${req.method} ${req.url} from a listening server\n`);
});

server.listen(3000);
