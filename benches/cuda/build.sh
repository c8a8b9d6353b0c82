#!/usr/bin/env bash
# Builds the kernels as modules and the test and timing program, all into DIR. Wants nvcc 12.8 or newer on the PATH.
#   benches/cuda/build.sh DIR
set -euo pipefail
out=$(mkdir -p "$1" && cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
kernels=$here/../../src/engine/cuda/kernels
hopper=(-gencode "arch=compute_90a,code=sm_90a")
every=()
for arch in 80 86 89 90 120; do every+=(-gencode "arch=compute_$arch,code=sm_$arch"); done
every+=(-gencode "arch=compute_80,code=compute_80")

for name in attention_sm90 conv_sm90 product_sm90; do
    nvcc -std=c++17 -O3 "${hopper[@]}" -fatbin "$kernels/$name.cu" -o "$out/$name.fatbin"
done
for name in attention_sm80 conv_sm80 elementwise text vae; do
    nvcc -std=c++17 -O3 "${every[@]}" -fatbin "$kernels/$name.cu" -o "$out/$name.fatbin"
done
nvcc -std=c++17 -O2 -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 \
    "$here"/{harness,attention,elementwise,gemm,product,step,text,vae,vae_time}.cu -o "$out/harness" \
    -L"${CUDA_HOME:-/usr/local/cuda}/lib64/stubs" -L"${CUDA_HOME:-/usr/local/cuda}/lib64" -lcublasLt -lcuda
