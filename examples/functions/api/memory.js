// Allocates and writes ?mb megabytes; its limit is 256.
export default function handler(req, res) {
  const mb = Math.min(Number(req.query.mb ?? 16), 4096);
  const blocks = Array.from({ length: mb }, () => Buffer.alloc(1024 * 1024, 1));
  res.json({ allocated: blocks.length, rss: Math.round(process.memoryUsage.rss() / 1024 / 1024) });
}
