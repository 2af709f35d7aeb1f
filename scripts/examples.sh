#!/usr/bin/env bash
# Builds the examples into examples/<name>/.vercel/output, each with its own tools, and
# likewise the applications that tests alone need, in test/e2e/testdata/apps.
#
#   scripts/examples.sh [--prod] [name…]    default: all of them, for the preview target
#
# A name may also be the path of a folder elsewhere, called <name> or <name>-<version>.
# Needs node (22 or newer) and npm on PATH, and reaches nothing but the npm registry.
# An example whose files and target have not changed since its last good build is skipped.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../examples" && pwd)
apps=$(cd "$root/../test/e2e/testdata/apps" && pwd)
target=preview

export NEXT_TELEMETRY_DISABLED=1 ASTRO_TELEMETRY_DISABLED=1 NUXT_TELEMETRY_DISABLED=1
export VERCEL_TELEMETRY_DISABLED=1 NO_UPDATE_NOTIFIER=1 CI=1 NO_COLOR=1

# name FOLDER: the name of the example, without its version.
name() { basename "${1%-[0-9]*}"; }

# The framework preset a hosted project would have stored when it was linked.
framework() {
  case $1 in
    next-*) echo '"nextjs"' ;;
    nextjs | astro | hono | react-router) echo "\"$1\"" ;;
    sveltekit) echo '"sveltekit-1"' ;;
    nuxt) echo '"nuxtjs"' ;;
    *) echo null ;;
  esac
}

# The inputs of a build: the example's files, the shared tool, node, the target.
fingerprint() {
  {
    echo "$target $(node --version)"
    cat "$root/package-lock.json"
    [ -e "$1/package-lock.json" ] || cat "$root/nextjs/package-lock.json" # see share
    find "$1" \( -name node_modules -o -name '.*' -type d ! -path "$1" -o -name '*.tsbuildinfo' \
      -o -name next-env.d.ts -o -name routeTree.gen.ts -o -name dist -o -path "$1/build" \) -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
  } | sha256sum | cut -d' ' -f1
}

# install FOLDER: installs the packages of its lock file, once per lock file.
install() {
  cmp -s "$1/package-lock.json" "$1/node_modules/.installed-lock" ||
    { npm ci --prefix "$1" --no-audit --no-fund --prefer-offline --loglevel=error &&
      mkdir -p "$1/node_modules" && cp "$1/package-lock.json" "$1/node_modules/.installed-lock"; }
}

# share FOLDER: the packages of the Next.js example, for an application without a lock file.
share() {
  install "$root/nextjs"
  cmp -s "$root/nextjs/package-lock.json" "$1/node_modules/.installed-lock" ||
    { rm -rf "$1/node_modules" && cp -al "$root/nextjs/node_modules" "$1/node_modules"; }
}

# link FOLDER: writes the files of `vercel link`, so that the build calls no server.
link() {
  [ -e "$1/.vercel/project.json" ] ||
    printf '{"projectId":"prj_local","orgId":"team_local","settings":{"framework":%s}}\n' \
      "$(framework "$(name "$1")")" >"$1/.vercel/project.json"
}

# adapter NAME: whether the framework writes .vercel/output itself.
adapter() {
  case $1 in
    analog | nitro | qwik-city | solid-start | tanstack-start) true ;;
    *) false ;;
  esac
}

compile() {
  local flags=()
  [ "$target" = preview ] || flags=(--prod)
  if [ -e "$1/package-lock.json" ]; then install "$1"; else share "$1"; fi &&
    link "$1" && rm -rf "$1/.vercel/output" && cd "$1" &&
    if adapter "$(name "$1")"; then npm run build; else "$root/node_modules/.bin/vercel" build --yes "${flags[@]}"; fi &&
    [ -s .vercel/output/config.json ]
}

build() {
  local dir started=$SECONDS stamp log print
  dir=$root/$1
  [ -e "$dir" ] || dir=$apps/$1
  [ -e "$dir" ] || dir=$1
  stamp=$dir/.vercel/built log=$dir/.vercel/build.log
  if [ ! -e "$dir/package.json" ]; then
    echo "$1: no such example in $root, no application in $apps, and no folder" >&2
    return 1
  fi
  mkdir -p "$dir/.vercel"
  print=$(fingerprint "$dir")
  if [ -s "$dir/.vercel/output/config.json" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$print" ]; then
    echo "$(basename "$1"): unchanged"
    return
  fi
  rm -f "$stamp"
  if ! (compile "$dir") >"$log" 2>&1; then
    echo "$(basename "$1"): FAILED, see $log" >&2
    tail -n 30 "$log" | sed $'s/\x1b\[[0-9;]*m//g' >&2
    return 1
  fi
  fingerprint "$dir" >"$stamp"
  echo "$(basename "$1"): built for $target in $((SECONDS - started)) s"
}

names=()
for argument in "$@"; do
  case $argument in
    --prod) target=production ;;
    -*) echo "usage: scripts/examples.sh [--prod] [name…]" >&2 && exit 2 ;;
    *) names+=("$argument") ;;
  esac
done
if [ ${#names[@]} = 0 ]; then
  for file in "$root"/*/package.json "$apps"/*/package.json; do
    names+=("$(basename "$(dirname "$file")")")
  done
fi

command -v node >/dev/null && command -v npm >/dev/null || { echo "node and npm must be on PATH" >&2; exit 1; }
mkdir -p "$root/.vercel"
if command -v flock >/dev/null; then # one build at a time: others wait, and then find it done
  exec 9>"$root/.vercel/lock"
  flock 9
fi
install "$root" >/dev/null

failed=0
for name in "${names[@]}"; do
  build "$name" || failed=1
done
exit $failed
