#!/usr/bin/env bash
# studio.sh FLUX_TUI OUTDIR [TERMINAL:GRAPHICS ...]: draws a picture in the studio in each terminal, by keys, and looks for it
# on a screenshot. Needs setup.sh. GRAPHICS is auto or one of the protocols; without any, all that are known to work.
# $LINE_RATE is the bytes a second of the line to the terminal (record.py); SSH_CONNECTION says to the studio that there is one.
# Prints for each: whether the picture is there, the correlation, and the bytes that the studio wrote for it.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$(realpath "$1") out=$(mkdir -p "$2" && realpath "$2")
shift 2
python=${XDG_CACHE_HOME:-$HOME/.cache}/terminals/venv/bin/python
cache=${XDG_CACHE_HOME:-$HOME/.cache}
ways=("$@")
((${#ways[@]})) || ways=(xterm:auto xterm:halfblocks kitty:auto kitty:halfblocks xtermjs:auto xtermjs:iterm2 xtermjs:halfblocks tmux-xterm:auto tmux-kitty:auto)
size=${SIZE:-120x40}

for way in "${ways[@]}"; do
  terminal=${way%:*} graphics=${way#*:}
  home=$(mktemp -d)
  keys=$home/keys shot=$out/$terminal-$graphics.png
  # The finished picture is told by its caption, which has the seconds.
  printf 'wait flux-tui\nsleep 1\ntype a red apple, 3d\nkey Return\nwait 20 steps\nsleep 2\n' >"$keys"
  HOME=$home XDG_CACHE_HOME=$cache "$here/shot.sh" "$terminal" "$size" "$shot" --keys "$keys" --seconds 1 --timeout 60 -- \
    env HOME="$home" "$program" --graphics "$graphics" >"$shot.log" 2>&1
  code=$?
  picture=$(find "$home/.local/share/flux-tui/pictures" -name '*.png' 2>/dev/null | head -n 1)
  if [ -z "$picture" ]; then
    echo "$way: nothing was drawn ($code): $(tail -n 1 "$shot.log")"
  else
    found=$("$python" "$here/compare.py" "$shot" "$picture") && verdict=appears || verdict='does not appear'
    echo "$way: $verdict, $found, $(stat -c %s "${shot%.png}.bytes") bytes"
    cp "$picture" "${shot%.png}.picture.png"
  fi
  HOME=$home "$program" worker stop >/dev/null 2>&1
  rm -rf "$home"
done
