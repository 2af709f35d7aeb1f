// A promise nobody awaits rejects while the request is still open.
import { setTimeout as pause } from "node:timers/promises";

export default async function handler(req, res) {
  Promise.reject(new Error("rejected on purpose"));
  await pause(100);
  res.end("answered after the rejection\n");
}
