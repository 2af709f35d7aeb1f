// Writes to /tmp, which belongs to the instance, and tries to write to its code, which is read-only.
import { readFile, writeFile } from "node:fs/promises";

export default async function handler(req, res) {
  const before = await readFile("/tmp/note", "utf8").catch(() => null);
  await writeFile("/tmp/note", new Date().toISOString());
  const code = await writeFile(new URL("written.txt", import.meta.url), "x").then(() => "writable", (error) => error.code);
  res.json({ before, code });
}
