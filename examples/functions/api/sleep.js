// Sleeps ?ms before it answers; its maxDuration is 3 s.
import { setTimeout as pause } from "node:timers/promises";

export default async function handler(req, res) {
  const ms = Math.min(Number(req.query.ms ?? 1000), 60_000);
  await pause(ms);
  res.json({ slept: ms });
}
