// What the attention kernels share once scores lie in registers: the running softmax of a thread's rows and the way
// back to memory. Both wgmma and mma.sync leave a tile of accumulators the same way: a quad of threads holds a row;
// thread t of a warp has rows t/4 and t/4 + 8, columns 8j + 2*(t%4) (+1): s[4j], s[4j+1] in the first row, s[4j+2],
// s[4j+3] in the second.
#pragma once
#include <cuda_bf16.h>

#include <cmath>
#include <cstdint>

#include "approximate.cuh"
#include "fragments.cuh"

// The four threads of a quad hold one row of an accumulator.
__device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
    return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}

__device__ __forceinline__ float quad_sum(float x) {
    x += __shfl_xor_sync(~0u, x, 1);
    return x + __shfl_xor_sync(~0u, x, 2);
}

// Running softmax of the two rows a thread works on. `sum` covers this thread's columns only, until `quad_sum`.
struct Rows {
    float max[2], sum[2];
};

// Replaces scores by exp2(scale * (score - row maximum)), brings `rows` up to date, and returns in `shrink` what all
// that was accumulated under the old maximum must be multiplied by.
template <int N, bool First>
__device__ __forceinline__ void softmax(float (&s)[N], Rows& rows, float (&shrink)[2], float scale_log2) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        float top = First ? s[2 * r] : fmaxf(rows.max[r], s[2 * r]);
#pragma unroll
        for (int i = 0; i < N; i += 4) top = fmaxf(top, fmaxf(s[i + 2 * r], s[i + 2 * r + 1]));
        top = quad_max(top);
        shrink[r] = First ? 0.f : exp2_fast((rows.max[r] - top) * scale_log2);
        rows.max[r] = top;
        const float offset = top * scale_log2;
        float sum = First ? 0.f : rows.sum[r] * shrink[r];
#pragma unroll
        for (int i = 0; i < N; i += 4) {
            s[i + 2 * r] = exp2_fast(fmaf(s[i + 2 * r], scale_log2, -offset));
            s[i + 2 * r + 1] = exp2_fast(fmaf(s[i + 2 * r + 1], scale_log2, -offset));
            sum += s[i + 2 * r] + s[i + 2 * r + 1];
        }
        rows.sum[r] = sum;
    }
}

// An accumulator's fragment is, after rounding, the A operand of the next product as it stands.
template <int N>
__device__ __forceinline__ void to_operand(const float (&s)[N], uint32_t (&p)[N / 2]) {
#pragma unroll
    for (int i = 0; i < N / 2; ++i) p[i] = pack(s[2 * i], s[2 * i + 1]);
}

template <int N>
__device__ __forceinline__ void multiply_rows(float (&o)[N], const float (&factor)[2]) {
#pragma unroll
    for (int i = 0; i < N; ++i) o[i] *= factor[(i >> 1) & 1];
}

// Columns `from` and on hold no key.
template <int N>
__device__ __forceinline__ void mask_columns(float (&s)[N], int from, int lane) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
        const int column = (i / 4) * 8 + (lane & 3) * 2 + (i & 1);
        if (column >= from) s[i] = -INFINITY;
    }
}

// o / sums as bf16, 16 bytes a thread. `out` points at the warp's first row; rows from `rows_left` on are not written.
// `sums` complete over the quad.
template <int N>
__device__ __forceinline__ void write_rows(const float (&o)[N], const float (&sums)[2], __nv_bfloat16* out,
                                           long long row_stride, int rows_left, int lane) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const int row = lane / 4 + 8 * r;
        const float factor = 1.f / sums[r];
        __nv_bfloat16* line = out + row * row_stride + (lane & 3) * 8;
#pragma unroll
        for (int j = 0; j < N / 4; j += 4) {
            uint32_t w[4];
#pragma unroll
            for (int i = 0; i < 4; ++i)
                w[i] = pack(o[4 * (j + i) + 2 * r] * factor, o[4 * (j + i) + 2 * r + 1] * factor);
            const uint4 turned = quad_transpose(w[0], w[1], w[2], w[3], lane);
            if (row < rows_left) *reinterpret_cast<uint4*>(line + j * 8) = turned;
        }
    }
}
