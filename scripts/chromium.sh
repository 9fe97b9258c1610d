#!/bin/sh
# Sees to it that there is a Chromium for the tests that open pages, and prints its path: what is in PATH, or Debian's package with what it
# lacks here, unpacked (not installed, so without root) into the user's cache. Where neither is possible it says so and fails.
set -eu

for name in chromium chromium-browser google-chrome; do
    if command -v "$name"; then exit 0; fi
done
cache="${XDG_CACHE_HOME:-$HOME/.cache}/scalelaw"
start="$cache/chromium/start"
if [ -x "$start" ]; then echo "$start"; exit 0; fi
refuse() {
    echo "chromium: $1; pages are not opened in a browser; install chromium" >&2
    exit 1
}
command -v apt-get >/dev/null && command -v dpkg >/dev/null || refuse "not in PATH, and this is no Debian to take it from"
mkdir -p "$cache"
work=$(mktemp -d "$cache/chromium-partial.XXXXXX")
trap 'rm -rf "$work"' EXIT
download() {
    packages=$(apt-get --simulate --no-install-recommends install chromium 2>/dev/null | awk '/^Inst/ { print $2 }')
    [ -n "$packages" ] || return 1
    rm -rf "$work/packages" && mkdir "$work/packages"
    # shellcheck disable=SC2086
    (cd "$work/packages" && apt-get download $packages >/dev/null 2>&1)
}
echo "chromium: unpacking Debian's package and what it lacks here into $cache/chromium; about 110 MB, once per user" >&2
# Old lists name packages that are gone; new ones take root.
download || { [ "$(id -u)" = 0 ] && apt-get update >/dev/null 2>&1 && download; } \
    || refuse "apt-get cannot download it (apt-get update may help)"
for package in "$work"/packages/*.deb; do dpkg -x "$package" "$work/chromium"; done
cat > "$work/chromium/start" <<'END'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
export LD_LIBRARY_PATH="$here/usr/lib/$(uname -m)-linux-gnu:$here/usr/lib/$(uname -m)-linux-gnu/pulseaudio"
exec "$here/usr/lib/chromium/chromium" "$@"
END
chmod +x "$work/chromium/start"
# Another checkout may have been faster.
mv -T "$work/chromium" "$cache/chromium" 2>/dev/null || [ -x "$start" ] || refuse "cannot write to $cache"
echo "$start"
