// Tells instances apart: when this one booted, and how many requests it saw and has in hand.
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

const id = randomUUID();
const bootedAt = new Date().toISOString();
let seen = 0;
let inHand = 0;

export default async function handler(req, res) {
  seen++;
  inHand++;
  await pause(Math.min(Number(req.query.ms ?? 0), 5000));
  res.json({ id, bootedAt, pid: process.pid, seen, inHand });
  inHand--;
}
