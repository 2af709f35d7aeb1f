// One line at each level, with ?marker, and one that is written without console.
export default function handler(req, res) {
  const marker = req.query.marker ?? "none";
  for (const level of ["debug", "log", "info", "warn", "error"]) {
    console[level](`${level} line, marker ${marker}`);
  }
  process.stdout.write(`stdout line, marker ${marker}\n`);
  res.json({ logged: marker });
}
