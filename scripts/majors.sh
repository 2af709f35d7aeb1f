#!/usr/bin/env bash
# Builds examples with older versions of their frameworks, and applications that take too
# long for every change, into .cache/majors/<example>-<version>. `make nightly` tests them.
#
#   scripts/majors.sh [example-version…]    default: all of them
#
# Files that differ for an older version are in scripts/majors/<example>-<version>.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p .cache/majors
folder=$(cd .cache/majors && pwd -P) # npm names packages by the real path

# The builds, and the packages that replace those of the example.
versions='
nextjs-15          next@15.5.29 typescript@5.9.3
nextjs-14          next@14.2.35 react@18.3.1 react-dom@18.3.1 @types/react@18.3.32 typescript@5.9.3
sveltekit-5        @sveltejs/adapter-vercel@5.10.3
sveltekit-4        @sveltejs/adapter-vercel@4.0.5
astro-6            astro@6.4.8 @astrojs/vercel@10.0.8
astro-5            astro@5.18.2 @astrojs/vercel@9.0.5
nuxt-3             nuxt@3.21.11
react-router-1.2   @vercel/react-router@1.2.6
react-router-1.1   @vercel/react-router@1.1.2
nitro-2.12         nitropack@2.12.9
nitro-2.11         nitropack@2.11.13
tanstack-start-1   @tanstack/react-start@1.168.61
analog-2
'

# make LABEL PACKAGE…: the files of the example, those of the version over them, and a lock
# file with the packages. A list of packages is resolved once.
make() {
  local dir=$folder/$1 label=$1 source
  shift
  source=$(ls -d "examples/${label%-[0-9]*}" "test/e2e/testdata/nightly/${label%-[0-9]*}" 2>/dev/null || true)
  mkdir -p "$dir/.vercel"
  find "$dir" -mindepth 1 -maxdepth 1 ! -name node_modules ! -name .vercel -exec rm -rf {} +
  tar -C "$source" --exclude=node_modules --exclude=.vercel -c . | tar -C "$dir" -x
  [ ! -d "scripts/majors/$label" ] || cp -r "scripts/majors/$label/." "$dir"
  find "$dir" -maxdepth 1 -type f -empty -delete # files that the version does not use
  [ $# -gt 0 ] || return 0
  if [ "$(cat "$dir/.vercel/packages" 2>/dev/null)" != "$*" ]; then
    (cd "$dir" && npm install --package-lock-only --save-exact --no-audit --no-fund --loglevel=error "$@") || return
    cp "$dir"/package{,-lock}.json "$dir/.vercel" && echo "$*" >"$dir/.vercel/packages"
  fi
  cp "$dir"/.vercel/package{,-lock}.json "$dir"
}

failed=0
while read -r label packages; do
  [ $# = 0 ] || [[ " $* " == *" $label "* ]] || continue
  # shellcheck disable=SC2086 # a list
  (make "$label" $packages) && scripts/examples.sh "$folder/$label" || failed=1
done < <(grep . <<<"$versions")
exit $failed
