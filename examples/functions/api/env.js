// The platform's variables, and GREETING if the project sets it.
export default function handler(req, res) {
  const { GREETING = null, VERCEL, VERCEL_ENV, VERCEL_URL, VERCEL_REGION, NODE_ENV } = process.env;
  res.json({ GREETING, VERCEL, VERCEL_ENV, VERCEL_URL, VERCEL_REGION, NODE_ENV, node: process.version, uid: process.getuid() });
}
