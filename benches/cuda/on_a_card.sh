#!/usr/bin/env bash
# Everything that only a card can show, in one go: checks first, then times, then the peers on the same card.
#   benches/cuda/on_a_card.sh FLUX_TUI CUDA_TESTS OUT [check|draw|files|cold|forms|loras|disk|measure|budget|agree|peers|sanitize ...]
# FLUX_TUI is the program built with --features cuda, CUDA_TESTS the binary of `cargo test --features cuda --test cuda
# --no-run`. `agree` and `peers` want Python with torch and diffusers. Results go to OUT; a summary to standard output.
set -uo pipefail
program=$(realpath "$1") tests=$(realpath "$2") out=$(mkdir -p "$3" && realpath "$3")
shift 3
parts=${*:-check draw files measure budget agree peers sanitize}
here=$(cd "$(dirname "$0")/.." && pwd)

check() {
    "$program" doctor
    timeout 200 "$tests" --nocapture --test-threads 1 >"$out/tests.txt" 2>&1
    grep -E '^test |^test result|dB|panicked|:[0-9]+:[0-9]+:$' "$out/tests.txt" | tail -60
}

# The whole program as a person meets it: worker, queue, library, PNG.
draw() {
    export HOME=$(mktemp -d)
    for precision in auto bf16 fp8-storage; do
        "$program" generate "a red apple, 3d" --device cuda --precision $precision --seed 42 --json --no-display
        echo
    done
    "$program" generate "a red apple, 3d" --device cpu --precision fp8 --no-display; echo "exit code $? (2 or 1 wanted)"
    "$program" generate "a red apple, 3d" --device cuda:7 --no-display; echo "exit code $? (2 wanted)"
    "$program" worker status
    cp "$HOME"/.local/share/flux-tui/pictures/*/*.png "$out"/
    "$program" worker stop
    "$program" bench --device cuda --repeat 10
}

# FLUX.1-dev's full size from files (17 GB, random values, in memory), as a person draws with it: what loading takes, what a
# new prompt takes with T5 on the card and on the CPU, and within 8 GB. FULL names a folder to make them in.
files() {
    local models=${FULL:-/dev/shm/full}
    export HOME=$(mktemp -d)
    python3 "$here/cuda/full_size.py" "$models" || return
    sync
    mkdir -p "$HOME/.config/flux-tui" && cp "$models/models.toml" "$HOME/.config/flux-tui/"
    "$program" models info "$models/flux1-dev.safetensors"
    for held in "" "--vram-budget 8GB"; do "$program" bench --model full --device cuda --repeat 3 $held; done
    for held in "" "--vram-budget 8GB"; do
        "$program" plan --model full $held
        for prompt in "a red fox" "a blue car"; do
            "$program" generate "$prompt" --model full --seed 1 --steps 20 --json --no-display $held; echo
        done
        grep -h "read part" "$HOME"/.local/state/flux-tui/*.log | tail -5 | cut -c1-160
        grep -E "VmHWM|RssAnon|RssFile" /proc/"$(pgrep -f "worker run" | head -1)"/status | tr '\n' ' '; echo
    done
    "$program" generate "a house" --model full --seed 1 --steps 20 --json --no-display --t5 cpu; echo
    "$program" generate "a house" --model full --seed 1 --steps 4 --width 2048 --height 2048 --json --no-display --vram-budget 8GB; echo
    "$program" worker status
    "$program" worker stop
    rm -r "$models"
}

# The same size in GGUF and in bf16 made fp8 on the way; streamed out of the file by the host, as where its memory is short;
# what was planned beside what came. FULL names a folder on a disk of 64 GB or in memory.
forms() {
    local models=${FULL:-/dev/shm/full}
    export HOME=$(mktemp -d)
    python3 "$here/cuda/full_size.py" "$models" --gguf || return
    sync
    mkdir -p "$HOME/.config/flux-tui" && cp "$models/models.toml" "$HOME/.config/flux-tui/"
    for model in full full-q8 full-q4; do
        "$program" generate "a red fox" --model $model --seed 1 --steps 8 --json --no-display; echo
        "$program" generate "a red fox" --model $model --seed 1 --steps 8 --json --no-display --vram-budget 6GB; echo
    done
    "$program" worker stop
    # Another worker: it knows the card, and its host has no memory to pin.
    FLUX_TUI_HOST_MEMORY=1GB "$program" generate "a red fox" --model full --seed 1 --steps 8 --json --no-display --vram-budget 6GB; echo
    FLUX_TUI_HOST_MEMORY=1GB "$program" plan --model full --vram-budget 6GB
    "$program" worker stop
    for size in 512x512 768x512 768x768 1024x1024 1536x1024; do
        "$program" generate "a red fox" --model full --seed 1 --steps 8 --json --no-display --width ${size%x*} --height ${size#*x} >/dev/null
    done
    "$program" plan --past 20
    grep -h "read part" "$HOME"/.local/state/flux-tui/*.log | cut -c1-160
    "$program" worker stop
    rm -r "$models"
}

# LoRAs beside a model of full size: what a step costs with them, and with files from the first use on. FULL as for `files`.
loras() {
    timeout 200 "$program" bench --model flux1-dev --synthetic --precision fp8 --sizes 1024x1024,512x512 --loras 1,4 --repeat 10 --json >"$out/loras.json"
    timeout 200 "$program" bench --model flux1-dev --synthetic --precision bf16 --sizes 1024x1024 --loras 1,4 --repeat 5 --json >"$out/loras-bf16.json"
    for form in lokr loha; do
        timeout 200 "$program" bench --model flux1-dev --synthetic --precision fp8 --sizes 1024x1024 --loras 1 --lora-form $form --repeat 5 --json >"$out/loras-$form.json"
    done
    timeout 300 "$program" bench --model flux1-dev --synthetic --precision fp8 --sizes 1024x1024 --loras 1,4 --merge-loras resident --repeat 5 --json >"$out/loras-merged.json"
    for told in loras loras-bf16 loras-lokr loras-loha loras-merged; do
        python3 - "$out/$told.json" <<'TABLE'
import json, sys
told = json.load(open(sys.argv[1]))
for s in told["sizes"]:
    print(f"{told['precision']} on {told['card']}, {s['width']}x{s['height']}: step {s['step']['median']:.2f} ms")
    for w in s["loras"]:
        print(f"  {w['count']} {w['form']} of {w['rank']}, merged into {w['merged']} layers: {w['step']['median']:.2f} ms, {w['ratio']:.3f}; set in {w['set']['median']:.1f} ms "
              f"({w['set']['min']:.1f} to {w['set']['max']:.1f}), {w['bytes'] / 1e9:.3f} GB, held {w['held']}, same bits {w['repeats']}")
TABLE
    done
    local models=${FULL:-/dev/shm/full}
    export HOME=$(mktemp -d)
    [ -e "$models/flux1-lora-large.safetensors" ] || python3 "$here/cuda/full_size.py" "$models" --loras ${WIDE:+--wide} || return
    sync
    mkdir -p "$HOME/.config/flux-tui" && cp "$models/models.toml" "$HOME/.config/flux-tui/"
    lora() { "$program" generate "a red fox" --model full --seed 1 --steps 8 --json --no-display "$@"; echo; }
    lora >/dev/null
    lora --lora "$models/flux1-lora-large.safetensors"
    for turn in 1 2 3; do
        lora --lora "$models/flux1-lora-1.safetensors:0.8" >/dev/null
        lora --lora "$models/flux1-lora-2.safetensors:0.$turn" >/dev/null
    done
    lora --lora "$models/flux1-lora-1.safetensors" --lora "$models/flux1-lora-2.safetensors"
    lora
    "$program" worker stop
    lora --vram-budget 8GB --lora "$models/flux1-lora-large.safetensors"
    grep -h "LoRAs were set" "$HOME"/.local/state/flux-tui/*.log | cut -c1-160
    "$program" plan --past 20
    "$program" worker stop
}

# From a key to the first preview with nothing loaded, the files in the page cache: the sum of load, prompt and one step of a
# new worker, each time with a prompt that nobody has read. FULL as for `files`.
cold() {
    local models=${FULL:-/dev/shm/full}
    export HOME=$(mktemp -d)
    [ -e "$models/flux1-dev.safetensors" ] || python3 "$here/cuda/full_size.py" "$models" || return
    sync
    mkdir -p "$HOME/.config/flux-tui" && cp "$models/models.toml" "$HOME/.config/flux-tui/"
    for held in "" "--vram-budget 8GB" "--vram-budget 6GB"; do
        for turn in 1 2 3 4; do
            echo "cold ${held:-all on the card}, turn $turn (the first also tries the card and reads the files)"
            "$program" generate "a red fox in turn $turn of $held" --model full --seed 1 --steps 1 --json --no-display $held | python3 -c '
import json, sys
seconds = json.load(sys.stdin)["seconds"]
print({name: round(value, 3) for name, value in seconds.items()}, "first preview", round(seconds["load"] + seconds["encode"] + seconds["denoise"], 3))'
            "$program" worker stop >/dev/null
        done
    done
    echo "one worker that runs; another model before each"
    for turn in 0 1 2 3 4 5; do
        for held in "" "--vram-budget 8GB" "--vram-budget 6GB"; do
            "$program" generate "turn $turn of $held" --model full --seed 1 --steps 1 --json --no-display $held | python3 -c '
import json, sys
seconds = json.load(sys.stdin)["seconds"]
print(sys.argv[1], {name: round(value, 3) for name, value in seconds.items()}, "first preview", round(seconds["load"] + seconds["encode"] + seconds["denoise"], 3))' "${held:-all on the card}"
        done
    done
    echo "eight steps: streamed by the host first and pinned beside them, then pinned"
    for turn in 1 2 3; do
        "$program" generate "eight steps, $turn" --model full --seed 1 --steps 8 --json --no-display --vram-budget 6GB | python3 -c '
import json, sys
seconds = json.load(sys.stdin)["seconds"]
print({name: round(value, 3) for name, value in seconds.items()})'
    done
    "$program" worker stop >/dev/null
    grep -hE "read part|tokenizer read|pinned" "$HOME"/.local/state/flux-tui/*.log | cut -c1-220
    for held in "" "--vram-budget 8GB"; do "$program" bench --model full --device cuda --repeat 3 $held; done
}

# Out of the page cache: what the disk gives, a cold load, a step that streams from it; then bf16 made fp8 once, if WIDE is
# set. Files as `loras` leaves them, on a disk.
disk() {
    local models=${FULL:-/dev/shm/full}
    export HOME=$(mktemp -d)
    mkdir -p "$HOME/.config/flux-tui" && cp "$models/models.toml" "$HOME/.config/flux-tui/"
    forget() { python3 -c 'import os, sys
for path in sys.argv[1:]:
    with open(path) as file: os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)' "$models"/*.safetensors; }
    one() { "$program" generate "a red fox" --model full --seed 1 --json --no-display "$@"; echo; }
    sync
    forget; dd if="$models/flux1-dev.safetensors" of=/dev/null bs=16M count=250 2>&1 | tail -1
    echo "cold, all on the card"; forget; one --steps 1; "$program" worker stop
    echo "warm, all on the card, another worker"; one --steps 20; "$program" worker stop
    echo "cold, streamed from the disk"; forget; FLUX_TUI_HOST_MEMORY=1GB one --steps 1 --vram-budget 6GB; "$program" worker stop
    echo "warm, streamed from the page cache"; FLUX_TUI_HOST_MEMORY=1GB one --steps 8 --vram-budget 6GB
    "$program" plan --past 5; grep -h "read part" "$HOME"/.local/state/flux-tui/*.log | cut -c1-160
    "$program" worker stop
    [ -n "${WIDE:-}" ] || return 0
    for cache in cold warm; do
        [ $cache = cold ] && forget
        echo "converting, $cache"
        python3 - "$program" "$HOME/converted.safetensors" <<'TIMED'
import resource, subprocess, sys, time
begun = time.monotonic()
subprocess.run([sys.argv[1], "models", "convert", "full-bf16", "--to", sys.argv[2]], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(f"{time.monotonic() - begun:.1f} s, {used.ru_utime + used.ru_stime:.0f} s of all cores, {used.ru_maxrss / 1e6:.2f} GB resident with mapped pages")
TIMED
        rm "$HOME/converted.safetensors"
    done
}

measure() {
    for precision in fp8 bf16 fp8-storage; do
        mkdir -p "$out/velocity/$precision"
        timeout 200 "$program" bench --model flux1-dev --synthetic --precision $precision --repeat 10 --json \
            --velocity-to "$out/velocity/$precision" >"$out/$precision.json" || continue
        python3 - "$out/$precision.json" <<'TABLE'
import json, sys
told = json.load(open(sys.argv[1]))
print(f"{told['precision']} on {told['card']}: ceilings bf16 {told['bf16_ceiling']:.0f}, fp8 {told['fp8_ceiling'] or 0:.0f} TFLOP/s; "
      f"T5-XXL {told['t5']:.2f} ms, CLIP-L {told['clip']:.2f} ms")
for s in told["sizes"]:
    print(f"  {s['width']}x{s['height']}: step {s['step']['median']:.2f} ms ({s['step']['min']:.2f} to {s['step']['max']:.2f}), "
          f"{s['tflops']:.0f} TFLOP/s, {100 * s['share_of_floor']:.0f} % of the floor, tables {s['tables']:.1f} ms, "
          f"decode {s['decode']:.2f} ms in {s['decode_memory'] / 1e9:.2f} GB, peak {(s['peak'] or s['held']) / 1e9:.2f} GB, "
          f"same bits {s['repeats']}")
TABLE
    done
}

# Whole pictures held to a budget, 12 GB of pinned host memory beside it; SLOWER makes each step so many ms longer.
budget() {
    for held in ${BUDGETS:-7.9GB:512x512 9.2GB:768x512 10.8GB:768x768 12GB:1024x1024 8GB:1024x1024 6GB:1024x1024 4GB:768x768}; do
        timeout 120 "$program" bench --model flux1-dev --synthetic --precision fp8 --vram-budget ${held%:*} --sizes ${held#*:} \
            --repeat ${PICTURES:-3} --slower-step ${SLOWER:-0} --json >"$out/budget-${held%:*}-${held#*:}.json" || { echo "$held failed"; continue; }
        echo "$held $(cat "$out/budget-${held%:*}-${held#*:}.json" | tr -d '\n' | cut -c1-1500)"
    done
}

agree() { timeout 300 python3 "$here/peers/diffusers_agreement.py" "$out/velocity" 2>&1 | tee "$out/agreement.txt" | tail -12; }

peers() { timeout 400 python3 "$here/peers/diffusers_flux.py" eager regional vae t5 2>&1 | tee "$out/peers.txt" | grep '^{'; }

# HARNESS names the folder that benches/cuda/build.sh made: its checks of single kernels, on small sizes, too.
sanitize() {
    echo "memcheck, the engine"
    timeout 200 compute-sanitizer --tool memcheck "$tests" --test-threads 1 older_cards not_finite clip_on loras_beside without_loras \
        >"$out/memcheck.txt" 2>&1
    grep -E 'test result|panicked|SUMMARY|Invalid' "$out/memcheck.txt"
    [ -n "${HARNESS:-}" ] || return 0
    for tool in memcheck racecheck; do
        for call in "vae $HARNESS check-small" "text $HARNESS/text.fatbin check"; do
            echo "$tool, harness $call"
            timeout 100 compute-sanitizer --tool $tool "$HARNESS/harness" $call 2>&1 | tail -2
        done
    done
}

for part in $parts; do
    echo "== $part ($(date +%T))"
    $part
done
