#!/usr/bin/env bash
# Writes .vercel/output: see README.md.
set -euo pipefail
cd "$(dirname "$0")"
out=.vercel/output
rm -rf "$out"
mkdir -p "$out/static"
echo '{"version":3,"routes":[{"handle":"filesystem"}]}' >"$out/config.json"
echo 'one function for each runtime' >"$out/static/index.txt"

# write NAME CONFIG [FILE…]: a function with these files.
write() {
  local dir=$out/functions/$1.func
  mkdir -p "$dir"
  echo "$2" >"$dir/.vc-config.json"
  shift 2
  [ $# = 0 ] || cp "$@" "$dir"
}

write server '{"runtime":"executable","handler":"server","supportsResponseStreaming":true}'
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$out/functions/server.func/server" ./server
write lambda '{"runtime":"provided.al2023","handler":"bootstrap","awsLambdaHandler":"bootstrap"}'
CGO_ENABLED=0 go build -trimpath -tags lambda.norpc -ldflags '-s -w' -o "$out/functions/lambda.func/bootstrap" ./lambda
write module '{"runtime":"wasi","handler":"module.wasm","memory":512}'
GOOS=wasip1 GOARCH=wasm go build -trimpath -ldflags '-s -w' -o "$out/functions/module.func/module.wasm" ./module
for style in wsgi asgi handler; do
  write $style "{\"runtime\":\"python3.12\",\"handler\":\"$style.py\",\"supportsResponseStreaming\":true}" python/$style.py
done
write bun '{"runtime":"bun1.x","handler":"index.ts","launcherType":"Nodejs","shouldAddHelpers":false}' bun/index.ts
