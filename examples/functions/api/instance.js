// Identifies the instance: the time of its boot, and its numbers of requests, total and in progress.
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
