#!/usr/bin/env bash
# `make demo`: lateen on http://localhost:8080 with the Next.js example on it.
# `make demo-stop` stops it; the next demo starts with an empty platform.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${LATEEN_DEMO:-$PWD/.lateen}
listen=127.0.0.1:${LATEEN_DEMO_PORT:-8080}
api=http://$listen

stop() {
  [ -s "$dir/data/lock" ] || return 0
  local pid
  pid=$(head -n 1 "$dir/data/lock") # the other lines have its start time and a message
  kill "$pid" 2>/dev/null || return 0
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
}

if [ "${1:-}" = stop ]; then
  stop
  rm -rf "$dir"
  echo "the demo is gone" >&2
  exit 0
fi

scripts/node.sh
PATH=$PWD/.cache/node/bin:$PATH scripts/examples.sh nextjs

stop
rm -rf "$dir"
mkdir -p "$dir"
# A project directory of its own, so that linking leaves the example as it is.
cp -al examples/nextjs "$dir/nextjs"
rm -f "$dir/nextjs/.vercel/project.json"

setsid -f bin/lateen up --data "$dir/data" --listen "$listen" >"$dir/log" 2>&1 </dev/null
listening() { (exec 3<>"/dev/tcp/${listen%:*}/${listen#*:}") 2>/dev/null && [ -s "$dir/data/token" ]; }
for _ in $(seq 300); do
  listening && break
  sleep 0.1
done
listening || { echo "lateen did not start:" >&2; cat "$dir/log" >&2; exit 1; }

export LATEEN_API=$api
LATEEN_TOKEN=$(cat "$dir/data/token")
export LATEEN_TOKEN
bin/lateen deploy "$dir/nextjs" --yes >"$dir/url"

cat >&2 <<NOTE

  It runs until \`make demo-stop\`. To inspect it:

    export LATEEN_API=$api LATEEN_TOKEN=\$(cat $dir/data/token)
    bin/lateen logs -f nextjs

NOTE
cat "$dir/url"
