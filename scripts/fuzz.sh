#!/usr/bin/env bash
# Runs every fuzz target for the time of the first argument, 1m if it is empty; `list`
# only lists the targets, with their packages. A failing input is in testdata/fuzz of
# the package: commit it with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-1m}
targets() {
  git ls-files -co --exclude-standard '*_test.go' | xargs grep -Eo '^func Fuzz[A-Za-z0-9_]+' | sed -E 's|^(.*)/[^/]*:func (.*)|./\1 \2|'
}
if [ "$time" = list ]; then
  targets
  exit
fi
failed=()
while read -r package target; do
  echo "== $package $target"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package" </dev/null || failed+=("$package $target")
done < <(targets)
if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
