#!/bin/sh
# Sees to it that nasm is there, which assembles the SIMD code of the JPEG decoder: found in PATH, or unpacked (not installed, so
# without root) from Debian's package into the user's cache. Without it the build goes on, and JPEG files take longer to decode.
set -eu

cache="${XDG_CACHE_HOME:-$HOME/.cache}/scalelaw"
if command -v nasm >/dev/null || [ -x "$cache/nasm/usr/bin/nasm" ]; then exit 0; fi
mkdir -p "$cache"
work=$(mktemp -d "$cache/nasm-partial.XXXXXX")
trap 'rm -rf "$work"' EXIT
if command -v apt-get >/dev/null && command -v dpkg >/dev/null \
    && (cd "$work" && apt-get download nasm >/dev/null 2>&1) && dpkg -x "$work"/nasm_*.deb "$work/nasm"; then
    # Another checkout may have been faster.
    mv -T "$work/nasm" "$cache/nasm" 2>/dev/null || [ -x "$cache/nasm/usr/bin/nasm" ]
    echo "nasm: unpacked into $cache/nasm" >&2
else
    echo "nasm: not found, so JPEG files will take longer to decode; install nasm and run cargo clean --package mozjpeg-sys" >&2
fi
