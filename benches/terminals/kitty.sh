#!/usr/bin/env bash
# kitty.sh SOURCE: builds a kitty with placeholders (0.28 or later) from a clone of its repository, and says how it is used.
# Debian 12's is 0.26. The kittens, which need Go, are left out; no screenshot needs them. Needs root for the headers.
set -euo pipefail
source=$(realpath "$1") here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/terminals

packages=(
  libdbus-1-dev libxcursor-dev libxrandr-dev libxi-dev libxinerama-dev libgl1-mesa-dev libxkbcommon-x11-dev
  libfontconfig-dev libx11-xcb-dev liblcms2-dev libssl-dev python3-dev librsync-dev libharfbuzz-dev libpng-dev
  libxxhash-dev libwayland-dev wayland-protocols pkg-config
)
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"

mkdir -p "$cache"
rm -rf "$cache/kitty"
git clone -q --shared --no-checkout "$source" "$cache/kitty"
cd "$cache/kitty"
# A clone may lack files that only its tests read.
git checkout -q "${KITTY_VERSION:-v0.28.1}" || echo "not all of it could be checked out" >&2
# Without Go there are no kittens, instead of an error.
sed -i "s/^        raise SystemExit('The go tool was not found.*/        return ''/" setup.py
/usr/bin/python3 setup.py build
echo "ready: KITTY=$cache/kitty/kitty/launcher/kitty $here/studio.sh FLUX_TUI OUTDIR kitty:auto tmux-kitty:auto"
