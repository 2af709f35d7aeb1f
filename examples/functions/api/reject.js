// A promise that is not awaited rejects while the request is in progress.
import { setTimeout as pause } from "node:timers/promises";

export default async function handler(req, res) {
  Promise.reject(new Error("rejected on purpose"));
  await pause(100);
  res.end("answered after the rejection\n");
}
