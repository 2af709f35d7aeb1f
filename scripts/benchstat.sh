#!/usr/bin/env bash
# Compares Go benchmarks of the working tree with those of a commit, origin/main if the
# first argument is empty. The other arguments are packages.
set -euo pipefail
cd "$(dirname "$0")/.."
base=${1:-origin/main}
shift
packages=("$@")
[ ${#packages[@]} -gt 0 ] || packages=(./internal/route ./internal/cache ./internal/edge ./internal/fleet)
at=$(mktemp -d)
trap 'git worktree remove --force "$at/base"; rm -rf "$at"' EXIT
git worktree add -q --detach "$at/base" "$base"
measure() { (cd "$1" && go test -run '^$' -bench . -benchtime 200ms -count 6 "${packages[@]}"); }
measure "$at/base" >"$at/old.txt"
measure . >"$at/new.txt"
go run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da "$at/old.txt" "$at/new.txt"
