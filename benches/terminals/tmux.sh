#!/usr/bin/env bash
# tmux.sh SOURCE: builds a tmux with sixel (3.4 or later, TMUX_VERSION) from a clone of its repository, and says how it is used.
# Debian 12's is 3.3a, which has none. Needs root for the headers.
set -euo pipefail
source=$(realpath "$1") here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/terminals

packages=(autoconf automake bison gcc libevent-dev libncurses-dev make pkg-config)
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"

mkdir -p "$cache"
rm -rf "$cache/tmux"
git clone -q --shared --no-checkout "$source" "$cache/tmux"
cd "$cache/tmux"
git checkout -q "${TMUX_VERSION:-3.4}"
sh autogen.sh
./configure --quiet --enable-sixel
make --quiet
echo "ready: TMUX_PROGRAM=$cache/tmux/tmux $here/studio.sh FLUX_TUI OUTDIR tmux-xterm:auto tmux-kitty:auto"
