// Eight bf16 values, 16 bytes, at a time: how the kernels between the products read and write rows; and the
// activations.
#pragma once
#include <cuda_bf16.h>

#include <cstdint>

#include "approximate.cuh"
#include "fragments.cuh"

using bf16 = __nv_bfloat16;

constexpr int kChunk = 8;  // bf16 values in 16 bytes

__device__ __forceinline__ uint4 load(const bf16* from) { return *reinterpret_cast<const uint4*>(from); }

__device__ __forceinline__ void unpack(const uint4& words, float (&to)[kChunk]) {
    const uint32_t w[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        to[2 * i] = __uint_as_float(w[i] << 16);
        to[2 * i + 1] = __uint_as_float(w[i] & 0xffff0000u);
    }
}

__device__ __forceinline__ void load8(const bf16* from, float (&to)[kChunk]) { unpack(load(from), to); }

__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&pair);
}

__device__ __forceinline__ uint4 pack(const float (&v)[kChunk]) {
    return make_uint4(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]), pack_bf16(v[4], v[5]), pack_bf16(v[6], v[7]));
}

__device__ __forceinline__ void store8(bf16* to, const float (&v)[kChunk]) { *reinterpret_cast<uint4*>(to) = pack(v); }

// 1 / (1 + 2^x)
__device__ __forceinline__ float falling_sigmoid(float x) { return reciprocal_fast(1.f + exp2_fast(x)); }

constexpr float kLog2e = 1.4426950409f;

// 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3)
__device__ __forceinline__ float gelu(float x) {
    constexpr float c = -2.f * 0.7978845608f * kLog2e;
    return x * falling_sigmoid(x * fmaf(0.044715f * c, x * x, c));
}
