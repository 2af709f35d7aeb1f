#!/usr/bin/env bash
# Builds the objects that are embedded in the binary, from C, for every
# architecture. They are committed, since building Lateen takes no C compiler;
# a test holds each to its source, whose hash it carries.
set -euo pipefail
cd "$(dirname "$0")/.."

strict=(-Os -Wall -Wextra -Werror -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables -fno-ident -Wl,--build-id=none -s)

build() { # SOURCE EXTENSION FLAG...
	local source=$1 extension=$2 hash
	shift 2
	hash=$(sha256sum "$source" | cut -d ' ' -f 1)
	"${CC_AMD64:-x86_64-linux-gnu-gcc}" "${strict[@]}" "$@" -DSOURCE="\"$hash\"" -o "${source%.c}_amd64$extension" "$source"
	"${CC_ARM64:-aarch64-linux-gnu-gcc}" "${strict[@]}" -mno-outline-atomics "$@" -DSOURCE="\"$hash\"" -o "${source%.c}_arm64$extension" "$source"
	chmod 0644 "${source%.c}"_{amd64,arm64}"$extension"
}

build internal/sandbox/native/keeper.c '' -static -nostdlib -Wl,-z,noseparate-code -Wl,-z,max-page-size=65536
build internal/guest/native/fork.c '' -shared -fPIC -Wl,-z,lazy
build internal/guest/native/zygote.c '' -shared -fPIC -Wl,-z,lazy
