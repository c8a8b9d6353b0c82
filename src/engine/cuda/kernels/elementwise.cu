// Everything between the products of a FLUX.1 step, each chain in one pass over device memory: bf16 activations, fp32
// arithmetic, fp8 (e4m3) outputs with one scale a row where a float8 product follows.
//
//   norm_modulate_{bf16,fp8}            layer norm (no affine) * (1 + scale) + shift
//   residual_norm_modulate_{bf16,fp8}   x += gate * y first, and keeps the sum
//   qk_norm_rope_d{128,64}              RMS norm of each query and key head, then the rotary embedding
//   gelu_{bf16,fp8}                     tanh GELU of a strided slice; the fp8 one may put plain columns before it
//   gated_residual                      x + gate * y
//   quantize_rows_fp8                   one scale a row
//   widen_fp8                           e4m3 weights to bf16, scale per tensor or per row
//   silu                                x * sigmoid(x)
//
// Layouts. Rows are tokens; every row stride is in elements and every row starts on 16 bytes; widths are multiples
// of 8. A batch is items of `tokens` rows. shift, scale and gate are rows of `width` bf16 values, `item_stride`
// elements apart from one item to the next; rows of an item from `split` on use those `second` elements further on (a
// double block's text and image rows in one launch; split = tokens where there is one stream only). The norm weights of
// qk_norm_rope are found the same way. A quantised row is q = x * 448 / max|x| and its scale max|x| / 448, so that x =
// q * scale; x is what a bf16 buffer in between would have held.
//
// Tiling of the row kernels: kChunks (gelu_fp8: kLongChunks) 16-byte chunks a thread, all loaded before the first use
// and kept packed in registers between the passes; blockDim.x threads a row, width / (8 * kChunks) rounded up to whole
// warps; blockDim.y rows a block: any number where a row is one warp, else 1. What bf16 arithmetic gives exactly (x +
// gate * y with one rounding, maxima) is done on packed pairs: the fp8 kernels would otherwise be bound by
// instructions, not by memory.
//
// All are bound by device memory: each input is read once and each output written once. Bytes for L tokens of hidden
// size H: norm_modulate_fp8 3LH, _bf16 4LH; residual_norm_modulate_fp8 7LH, _bf16 8LH; qk_norm_rope 8LH; gelu_fp8 of 4H
// 12LH; gated_residual 6LH. Measured against 4.2 TB/s in benches/PERFORMANCE.md.
#include <cuda_bf16.h>

#include <cstdint>

#include "fp8.cuh"
#include "values.cuh"

namespace {

constexpr int kChunks = 3;      // of a thread, in the row kernels
constexpr int kLongChunks = 6;  // in gelu_fp8, whose rows are four and five times as long

using Pair = __nv_bfloat162;

__device__ __forceinline__ Pair as_pair(uint32_t word) { return *reinterpret_cast<const Pair*>(&word); }
__device__ __forceinline__ uint32_t as_word(Pair pair) { return *reinterpret_cast<const uint32_t*>(&pair); }

// a * b + c on eight bf16 values, one rounding each.
__device__ __forceinline__ uint4 multiply_add(const uint4& a, const uint4& b, const uint4& c) {
    return make_uint4(as_word(__hfma2(as_pair(a.x), as_pair(b.x), as_pair(c.x))),
                      as_word(__hfma2(as_pair(a.y), as_pair(b.y), as_pair(c.y))),
                      as_word(__hfma2(as_pair(a.z), as_pair(b.z), as_pair(c.z))),
                      as_word(__hfma2(as_pair(a.w), as_pair(b.w), as_pair(c.w))));
}

// The larger magnitudes of `top` and eight values, by pairs.
__device__ __forceinline__ Pair larger(Pair top, const uint4& words) {
    top = __hmax2(top, as_pair(words.x & 0x7fff7fffu));
    top = __hmax2(top, as_pair(words.y & 0x7fff7fffu));
    top = __hmax2(top, as_pair(words.z & 0x7fff7fffu));
    return __hmax2(top, as_pair(words.w & 0x7fff7fffu));
}

__device__ __forceinline__ void store8_fp8(uint8_t* to, const float (&v)[kChunk], float factor) {
    uint32_t words[2];
#pragma unroll
    for (int i = 0; i < 2; ++i)
        words[i] = to_fp8(v[4 * i] * factor, v[4 * i + 1] * factor) |
                   to_fp8(v[4 * i + 2] * factor, v[4 * i + 3] * factor) << 16;
    *reinterpret_cast<uint2*>(to) = make_uint2(words[0], words[1]);
}

struct Sum {
    static __device__ float2 join(float2 a, float2 b) { return make_float2(a.x + b.x, a.y + b.y); }
};
struct Max {
    static __device__ float2 join(float2 a, float2 b) { return make_float2(fmaxf(a.x, b.x), 0.f); }
};

// Over the threads of a row; the same value in each of them. Once a kernel for each Op: the shared words are not
// reused.
template <class Op>
__device__ __forceinline__ float2 row_reduce(float2 x) {
#pragma unroll
    for (int step = 16; step; step /= 2)
        x = Op::join(x, make_float2(__shfl_xor_sync(~0u, x.x, step), __shfl_xor_sync(~0u, x.y, step)));
    if (blockDim.x > 32) {
        __shared__ float2 of_warp[32];
        if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = x;
        __syncthreads();
        x = of_warp[0];
#pragma unroll 1
        for (int warp = 1; warp < blockDim.x / 32; ++warp) x = Op::join(x, of_warp[warp]);
    }
    return x;
}

__device__ __forceinline__ int row_index() { return blockIdx.x * blockDim.y + threadIdx.y; }

// One row of up to blockDim.x * Chunks * 8 values in the registers of its threads; exactly so many where `Full`.
template <int Chunks, bool Full>
struct Row {
    uint4 packed[Chunks];

    static __device__ int column(int chunk) { return (chunk * blockDim.x + threadIdx.x) * kChunk; }

    template <class F>
    __device__ __forceinline__ void each_packed(int width, F f) {
#pragma unroll
        for (int c = 0; c < Chunks; ++c)
            if (Full || column(c) < width) f(column(c), packed[c]);
    }

    // f(column, values) on fp32 values.
    template <class F>
    __device__ __forceinline__ void each(int width, F f) {
        each_packed(width, [&](int at, uint4& words) {
            float v[kChunk];
            unpack(words, v);
            f(at, v);
        });
    }

    // The same, and keeps what f leaves.
    template <class F>
    __device__ __forceinline__ void change(int width, F f) {
        each_packed(width, [&](int at, uint4& words) {
            float v[kChunk];
            unpack(words, v);
            f(at, v);
            words = pack(v);
        });
    }

    __device__ __forceinline__ void load_from(const bf16* from, int width) {
        each_packed(width, [&](int at, uint4& words) { words = load(from + at); });
    }

    __device__ __forceinline__ void store_to(bf16* to, int width) {
        each_packed(width, [&](int at, uint4& words) { *reinterpret_cast<uint4*>(to + at) = words; });
    }

    // Mean and 1 / deviation. Both sums in one pass: taken about a value of the row, so that a large mean costs
    // nothing.
    __device__ __forceinline__ float2 statistics(float about, int width, float epsilon) {
        float2 sums = make_float2(0.f, 0.f);
        each(width, [&](int, float (&x)[kChunk]) {
#pragma unroll
            for (int i = 0; i < kChunk; ++i) {
                const float d = x[i] - about;
                sums.x += d;
                sums.y = fmaf(d, d, sums.y);
            }
        });
        sums = row_reduce<Sum>(sums);
        const float mean = sums.x / width;
        return make_float2(about + mean, rsqrtf(fmaxf(sums.y / width - mean * mean, 0.f) + epsilon));
    }

    __device__ __forceinline__ void quantize(uint8_t* to, float* row_scale, int width) {
        Pair pair = as_pair(0);
        each_packed(width, [&](int, uint4& words) { pair = larger(pair, words); });
        const float2 top = row_reduce<Max>(make_float2(fmaxf(__low2float(pair), __high2float(pair)), 0.f));
        const float factor = top.x > 0 ? kLargest / top.x : 0.f;
        each(width, [&](int at, float (&x)[kChunk]) { store8_fp8(to + at, x, factor); });
        if (threadIdx.x == 0) *row_scale = top.x / kLargest;
    }
};

// f(row), without bounds checks where the width allows.
template <int Chunks, class F>
__device__ __forceinline__ void with_row(int width, F f) {
    if (width == blockDim.x * Chunks * kChunk) {
        f(Row<Chunks, true>());
    } else {
        f(Row<Chunks, false>());
    }
}

// Which modulation (or norm weight) a row uses.
struct Streams {
    int tokens, split;
    long long second, item_stride;
    __device__ long long offset(int row) const {
        const int item = row / tokens;
        return item * item_stride + (row - item * tokens >= split ? second : 0);
    }
};

struct Modulation {
    const bf16 *shift, *scale, *gate;
    Streams streams;
};

// With a residual: x (+)= gate * y is rounded to bf16, kept in `sum`, and normalised.
template <bool Residual, bool Fp8>
__device__ __forceinline__ void norm_modulate(const bf16* x, long long x_stride, const bf16* y, long long y_stride,
                                              bf16* sum, const Modulation& m, void* out, long long out_stride,
                                              float* row_scales, int rows, int width, float epsilon) {
    const int r = row_index();
    if (r >= rows) return;
    const long long modulation = m.streams.offset(r);
    const float about = __bfloat162float(x[r * x_stride]);
    with_row<kChunks>(width, [&](auto row) {
        row.load_from(x + r * x_stride, width);
        if constexpr (Residual) {
            row.each_packed(width, [&](int at, uint4& words) {
                words = multiply_add(load(m.gate + modulation + at), load(y + r * y_stride + at), words);
            });
            row.store_to(sum + r * x_stride, width);
        }
        const float2 statistics = row.statistics(about, width, epsilon);
        row.change(width, [&](int at, float (&v)[kChunk]) {
            float shift[kChunk], scale[kChunk];
            load8(m.shift + modulation + at, shift);
            load8(m.scale + modulation + at, scale);
#pragma unroll
            for (int i = 0; i < kChunk; ++i)
                v[i] = fmaf(v[i] - statistics.x, fmaf(statistics.y, scale[i], statistics.y), shift[i]);
        });
        if constexpr (Fp8) {
            row.quantize(static_cast<uint8_t*>(out) + r * out_stride, row_scales + r, width);
        } else {
            row.store_to(static_cast<bf16*>(out) + r * out_stride, width);
        }
    });
}

// One block a token; a head is spread over D / 8 neighbouring threads. Reads and writes of an element are by one
// thread, so the outputs may lie over the inputs.
template <int D>
__device__ __forceinline__ void qk_norm_rope(const bf16* qkv, long long qkv_stride, bf16* q, long long q_stride,
                                             bf16* k, long long k_stride, bf16* v, long long v_stride,
                                             const bf16* q_weight, const bf16* k_weight, const float* cos_sin,
                                             int heads, const Streams& streams, float epsilon) {
    constexpr int lanes = D / kChunk, chunks = 3;
    const int token = blockIdx.x, width = heads * D;
    const int inside = threadIdx.x % lanes * kChunk;  // position within the head, the same for all chunks of a thread
    const long long weights = streams.offset(token) + inside;
    qkv += token * qkv_stride;
    float turn[kChunk];  // cos, sin of four pairs
    {
        const float4* from = reinterpret_cast<const float4*>(cos_sin + token % streams.tokens * D + inside);
        const float4 a = from[0], b = from[1];
        turn[0] = a.x, turn[1] = a.y, turn[2] = a.z, turn[3] = a.w;
        turn[4] = b.x, turn[5] = b.y, turn[6] = b.z, turn[7] = b.w;
    }
    const int total = v ? 3 * width : 2 * width;
    for (int base = threadIdx.x * kChunk; base - threadIdx.x * kChunk < total; base += chunks * blockDim.x * kChunk) {
        uint4 words[chunks];
#pragma unroll
        for (int c = 0; c < chunks; ++c) {
            const int at = base + c * blockDim.x * kChunk;
            if (at < total) words[c] = load(qkv + at);
        }
#pragma unroll
        for (int c = 0; c < chunks; ++c) {
            const int at = base + c * blockDim.x * kChunk;
            float x[kChunk], squares = 0;
            if (at < total) {
                unpack(words[c], x);
#pragma unroll
                for (int i = 0; i < kChunk; ++i) squares = fmaf(x[i], x[i], squares);
            }
#pragma unroll
            for (int step = lanes / 2; step; step /= 2) squares += __shfl_xor_sync(~0u, squares, step);
            if (at >= total) continue;
            if (at >= 2 * width) {
                *reinterpret_cast<uint4*>(v + token * v_stride + at - 2 * width) = words[c];
                continue;
            }
            const bool query = at < width;
            float weight[kChunk], out[kChunk];
            load8((query ? q_weight : k_weight) + weights, weight);
            const float factor = rsqrtf(squares / D + epsilon);
#pragma unroll
            for (int i = 0; i < kChunk; ++i) weight[i] *= x[i] * factor;
#pragma unroll
            for (int i = 0; i < kChunk; i += 2) {
                out[i] = turn[i] * weight[i] - turn[i + 1] * weight[i + 1];
                out[i + 1] = turn[i + 1] * weight[i] + turn[i] * weight[i + 1];
            }
            store8(query ? q + token * q_stride + at : k + token * k_stride + at - width, out);
        }
    }
}

}  // namespace

extern "C" {

__global__ void norm_modulate_bf16(const bf16* x, long long x_stride, const bf16* shift, const bf16* scale, int tokens,
                                   int split, long long second, long long item_stride, bf16* out, long long out_stride,
                                   int rows, int width, float epsilon) {
    const Modulation m{shift, scale, nullptr, {tokens, split, second, item_stride}};
    norm_modulate<false, false>(x, x_stride, nullptr, 0, nullptr, m, out, out_stride, nullptr, rows, width, epsilon);
}

__global__ void norm_modulate_fp8(const bf16* x, long long x_stride, const bf16* shift, const bf16* scale, int tokens,
                                  int split, long long second, long long item_stride, uint8_t* out,
                                  long long out_stride, float* row_scales, int rows, int width, float epsilon) {
    const Modulation m{shift, scale, nullptr, {tokens, split, second, item_stride}};
    norm_modulate<false, true>(x, x_stride, nullptr, 0, nullptr, m, out, out_stride, row_scales, rows, width, epsilon);
}

// `sum` has x's stride and may be x.
__global__ void residual_norm_modulate_bf16(const bf16* x, long long x_stride, const bf16* y, long long y_stride,
                                            const bf16* gate, bf16* sum, const bf16* shift, const bf16* scale,
                                            int tokens, int split, long long second, long long item_stride, bf16* out,
                                            long long out_stride, int rows, int width, float epsilon) {
    const Modulation m{shift, scale, gate, {tokens, split, second, item_stride}};
    norm_modulate<true, false>(x, x_stride, y, y_stride, sum, m, out, out_stride, nullptr, rows, width, epsilon);
}

__global__ void residual_norm_modulate_fp8(const bf16* x, long long x_stride, const bf16* y, long long y_stride,
                                           const bf16* gate, bf16* sum, const bf16* shift, const bf16* scale,
                                           int tokens, int split, long long second, long long item_stride, uint8_t* out,
                                           long long out_stride, float* row_scales, int rows, int width,
                                           float epsilon) {
    const Modulation m{shift, scale, gate, {tokens, split, second, item_stride}};
    norm_modulate<true, true>(x, x_stride, y, y_stride, sum, m, out, out_stride, row_scales, rows, width, epsilon);
}

// Grid: one block a token of the batch. `cos_sin` is [tokens, D/2, 2] and serves every item; the norm weights are [D]
// (no item stride). `v` null: left where it is. Threads: a multiple of 32; heads * D / 12 uses every one.
__global__ void qk_norm_rope_d128(const bf16* qkv, long long qkv_stride, bf16* q, long long q_stride, bf16* k,
                                  long long k_stride, bf16* v, long long v_stride, const bf16* q_weight,
                                  const bf16* k_weight, int tokens, int split, long long second, const float* cos_sin,
                                  int heads, float epsilon) {
    qk_norm_rope<128>(qkv, qkv_stride, q, q_stride, k, k_stride, v, v_stride, q_weight, k_weight, cos_sin, heads,
                      {tokens, split, second, 0}, epsilon);
}

__global__ void qk_norm_rope_d64(const bf16* qkv, long long qkv_stride, bf16* q, long long q_stride, bf16* k,
                                 long long k_stride, bf16* v, long long v_stride, const bf16* q_weight,
                                 const bf16* k_weight, int tokens, int split, long long second, const float* cos_sin,
                                 int heads, float epsilon) {
    qk_norm_rope<64>(qkv, qkv_stride, q, q_stride, k, k_stride, v, v_stride, q_weight, k_weight, cos_sin, heads,
                     {tokens, split, second, 0}, epsilon);
}

__global__ void gelu_bf16(const bf16* x, long long x_stride, bf16* out, long long out_stride, int rows, int width) {
    const int r = row_index();
    if (r >= rows) return;
    with_row<kChunks>(width, [&](auto row) {
        row.load_from(x + r * x_stride, width);
        row.change(width, [](int, float (&v)[kChunk]) {
#pragma unroll
            for (int i = 0; i < kChunk; ++i) v[i] = gelu(v[i]);
        });
        row.store_to(out + r * out_stride, width);
    });
}

// A row of the output is [first (plain), gelu(x)], quantised under one scale: a single block's [attention, mlp].
__global__ void gelu_fp8(const bf16* first, long long first_stride, int first_width, const bf16* x, long long x_stride,
                         int x_width, uint8_t* out, long long out_stride, float* row_scales, int rows) {
    const int r = row_index(), width = first_width + x_width;
    if (r >= rows) return;
    with_row<kLongChunks>(width, [&](auto row) {
        row.each_packed(width, [&](int at, uint4& words) {
            words = load(at < first_width ? first + r * first_stride + at : x + r * x_stride + at - first_width);
        });
        row.change(width, [&](int at, float (&v)[kChunk]) {
            if (at < first_width) return;
#pragma unroll
            for (int i = 0; i < kChunk; ++i) v[i] = gelu(v[i]);
        });
        row.quantize(out + r * out_stride, row_scales + r, width);
    });
}

__global__ void quantize_rows_fp8(const bf16* x, long long x_stride, uint8_t* out, long long out_stride,
                                  float* row_scales, int rows, int width) {
    const int r = row_index();
    if (r >= rows) return;
    with_row<kChunks>(width, [&](auto row) {
        row.load_from(x + r * x_stride, width);
        row.quantize(out + r * out_stride, row_scales + r, width);
    });
}

// `out` may be x.
__global__ void gated_residual(const bf16* x, long long x_stride, const bf16* y, long long y_stride, const bf16* gate,
                               int tokens, int split, long long second, long long item_stride, bf16* out,
                               long long out_stride, int rows, int width) {
    const int r = row_index();
    if (r >= rows) return;
    gate += Streams{tokens, split, second, item_stride}.offset(r);
    with_row<kChunks>(width, [&](auto row) {
        row.load_from(x + r * x_stride, width);
        row.each_packed(width, [&](int at, uint4& words) {
            words = multiply_add(load(gate + at), load(y + r * y_stride + at), words);
        });
        row.store_to(out + r * out_stride, width);
    });
}

// `weight` is [rows, columns] e4m3, columns a multiple of 16; one scale for all, or one a row where `per_row`. Grid:
// one block a row; columns / 16 threads give each one load.
__global__ void widen_fp8(const uint8_t* weight, const float* scale, int per_row, bf16* out, int columns) {
    const long long row = blockIdx.x;
    const float factor = scale[per_row ? row : 0];
    for (int column = threadIdx.x * 16; column < columns; column += blockDim.x * 16) {
        const uint4 words = *reinterpret_cast<const uint4*>(weight + row * columns + column);
        const uint32_t w[4] = {words.x, words.y, words.z, words.w};
        uint32_t wide[8];
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            const float2 x = from_fp8(w[i / 2] >> (i % 2 * 16) & 0xffff);
            wide[i] = pack(x.x * factor, x.y * factor);
        }
        uint4* to = reinterpret_cast<uint4*>(out + row * columns + column);
        to[0] = make_uint4(wide[0], wide[1], wide[2], wide[3]);
        to[1] = make_uint4(wide[4], wide[5], wide[6], wide[7]);
    }
}

// For short vectors (the timestep's embedding).
__global__ void silu(const bf16* x, bf16* out, long long count) {
    const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
        const float v = __bfloat162float(x[i]);
        out[i] = __float2bfloat16_rn(v * falling_sigmoid(-kLog2e * v));
    }
}

}  // extern "C"
