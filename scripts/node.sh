#!/usr/bin/env bash
# Puts Node 24, npm and npx into .cache/node/bin, from the npm registry alone.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x .cache/node/bin/node ] && [ -x .cache/node/bin/npm ] && exit 0
go run ./tools/node .cache/node
