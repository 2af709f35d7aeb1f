#!/usr/bin/env bash
# Fetches the servers with which `make bench` compares Lateen, nginx with its brotli
# module and Caddy, and the load generator wrk: from the system's packages into
# .cache/bench if the system lacks them. Installs nothing, starts nothing, and needs no
# root if the package lists exist.
set -euo pipefail
cd "$(dirname "$0")/.."

need=()
for program in nginx caddy wrk; do
  [ -n "$(PATH=$PATH:/usr/sbin command -v $program)" ] || need+=("$program")
done
ls /usr/lib/nginx/modules/ngx_http_brotli_static_module.so >/dev/null 2>&1 || need+=(libnginx-mod-http-brotli-static)

done=.cache/bench/fetched
[ ${#need[@]} -gt 0 ] || exit 0
[ "$(cat $done 2>/dev/null)" != "${need[*]}" ] || exit 0
command -v apt-get >/dev/null || { echo "bench.sh: this system has no apt-get: install ${need[*]}" >&2; exit 1; }

echo "fetching ${need[*]}" >&2
rm -rf .cache/bench/debs .cache/bench/root
mkdir -p .cache/bench/debs/partial .cache/bench/root
fetch() {
  apt-get -qq -y -o Debug::NoLocking=1 -o Dir::Cache::archives="$PWD/.cache/bench/debs" \
    --no-install-recommends --download-only install "$1" >/dev/null 2>&1
}
failed=
for package in "${need[@]}"; do
  fetch "$package" && continue
  [ -n "$failed" ] || [ "$(id -u)" != 0 ] || apt-get -qq update >/dev/null || true
  fetch "$package" || { echo "bench.sh: apt-get could not fetch $package" >&2; failed=1; }
done
for package in .cache/bench/debs/*.deb; do
  [ -e "$package" ] && dpkg -x "$package" .cache/bench/root
done
rm -rf .cache/bench/debs
[ -n "$failed" ] || echo "${need[*]}" >$done
