#!/usr/bin/env bash
# Fuzzes one reader: run.sh TARGET SECONDS. The corpus is kept in corpus/TARGET, what is found in artifacts/TARGET.
set -euo pipefail
cd "$(dirname "$0")"
target=$1 seconds=$2

# MiB that one allocation may have. The readers of files allocate no more than a small multiple of the 64 KiB that they
# are given: a value of Q2_K is a third of a byte in the file and four in memory. A PNG's text may take 32 MiB in all
# (library/png.rs), a reply of the worker one frame of 64 MiB (wire/frame.rs).
case $target in
    wire) allocation=72 ;;
    png) allocation=33 ;;
    *) allocation=16 ;;
esac
case $target in
    input | studio | wire | png) length=4096 ;;
    *) length=65536 ;;
esac

(cd ../.. && cargo test --quiet --test fuzz write_seeds -- --ignored)
[ -e Cargo.lock ] || cp ../../Cargo.lock Cargo.lock # the program's own versions
# 512 MiB in all, of which AddressSanitizer keeps 256 of freed memory unless it is told otherwise.
export ASAN_OPTIONS=quarantine_size_mb=32
exec nice -n 15 cargo +nightly fuzz run --fuzz-dir . "$target" -- \
    -max_total_time="$seconds" -rss_limit_mb=512 -malloc_limit_mb="$allocation" -max_len="$length" -timeout=10 \
    -print_final_stats=1
