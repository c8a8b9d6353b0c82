#!/usr/bin/env bash
# Checks kernels of the VAE, of the text encoders, of quantised weights and of LoRAs on the CPU, where there is no GPU (device.h).
# Wants g++ and CUDA's headers; builds in DIR.
#   benches/cuda/host/run.sh DIR [NAME...]
set -euo pipefail
out=$(mkdir -p "$1" && cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
kernels=$here/../../../src/engine/cuda/kernels
cp "$kernels"/{attention_mma,attention_rows,conv,fp8,fragments,values}.cuh "$out"
names=("${@:2}")
[ ${#names[@]} -gt 0 ] || names=(conv_sm80 conv_sm90 dequantize kron merge text vae)
failed=0
for name in "${names[@]}"; do
    # Dynamic shared memory is the arena, other shared arrays are static: blocks run one after the other.
    sed -E -e 's/extern __shared__ (__align__\([0-9]+\) )?(\w+) (\w+)\[\];/\2* const \3 = reinterpret_cast<\2*>(host::arena);/' \
        -e 's/__shared__ (__align__\([0-9]+\) )?uint8_t shared\[(.*)\];/uint8_t* const shared = host::arena;/' \
        -e 's/__shared__ /static /' \
        "$kernels/$name.cu" >"$out/$name.cu"
    g++ -std=c++17 -O2 -w -include device.h -I"$out" -I"$here" -isystem "${CUDA_HOME:-/usr/local/cuda}/include" "$here/$name.cpp" -o "$out/$name"
    "$out/$name" || failed=1
done
exit $failed
