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
// Layouts. Rows are tokens; every row stride is in elements and every row starts on 16 bytes; widths are multiples of 8.
// A batch is items of `tokens` rows. shift, scale and gate are rows of `width` bf16 values, `item_stride` elements apart
// from one item to the next; rows of an item from `split` on use those `second` elements further on (a double block's
// text and image rows in one launch; split = tokens where there is one stream only). The norm weights of qk_norm_rope
// are found the same way.
// A quantised row is q = x * 448 / max|x| and its scale max|x| / 448, so that x = q * scale; x is what a bf16 buffer in
// between would have held.
//
// Tiling of the row kernels: kChunks 16-byte chunks a thread, all loaded before the first use and kept packed in
// registers between the passes; blockDim.x threads a row, width / (8 * kChunks) rounded up to whole warps, so that a row
// of 3072 is one warp and needs no barrier; blockDim.y rows a block where a row is one warp, else 1.
//
// All are bound by device memory: each input is read once and each output written once. Bytes for L tokens of hidden
// size H: norm_modulate_fp8 3LH, _bf16 4LH; residual_norm_modulate_fp8 7LH, _bf16 8LH; qk_norm_rope 8LH; gelu_fp8 of 4H
// 12LH; gated_residual 6LH. Measured against 4.2 TB/s in benches/PERFORMANCE.md.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>

namespace {

using bf16 = __nv_bfloat16;

constexpr int kChunk = 8;    // bf16 values in 16 bytes
#ifndef ROW_CHUNKS
#define ROW_CHUNKS 12
#endif
constexpr int kChunks = ROW_CHUNKS;  // of a thread, in the row kernels
constexpr float kLargest = 448.f;

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

__device__ __forceinline__ void store8_fp8(uint8_t* to, const float (&v)[kChunk], float factor) {
    uint32_t words[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        const float2 low = make_float2(v[4 * i] * factor, v[4 * i + 1] * factor);
        const float2 high = make_float2(v[4 * i + 2] * factor, v[4 * i + 3] * factor);
        words[i] = __nv_cvt_float2_to_fp8x2(low, __NV_SATFINITE, __NV_E4M3) |
                   static_cast<uint32_t>(__nv_cvt_float2_to_fp8x2(high, __NV_SATFINITE, __NV_E4M3)) << 16;
    }
    *reinterpret_cast<uint2*>(to) = make_uint2(words[0], words[1]);
}

struct Sum {
    static __device__ float2 join(float2 a, float2 b) { return make_float2(a.x + b.x, a.y + b.y); }
};
struct Max {
    static __device__ float2 join(float2 a, float2 b) { return make_float2(fmaxf(a.x, b.x), 0.f); }
};

// Over the threads of a row; the same value in each of them. Once a kernel for each Op: the shared words are not reused.
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
        for (int warp = 1; warp < blockDim.x / 32; ++warp) x = Op::join(x, of_warp[warp]);
    }
    return x;
}

__device__ __forceinline__ int row_index() { return blockIdx.x * blockDim.y + threadIdx.y; }

// One row of up to blockDim.x * kChunks * 8 values in the registers of its threads.
struct Row {
    uint4 packed[kChunks];

    static __device__ int column(int chunk) { return (chunk * blockDim.x + threadIdx.x) * kChunk; }

    template <class F>
    __device__ __forceinline__ void each_packed(int width, F f) {
#pragma unroll
        for (int c = 0; c < kChunks; ++c)
            if (column(c) < width) f(column(c), packed[c]);
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

    // Mean and 1 / deviation. Both sums in one pass: taken about a value of the row, so that a large mean costs nothing.
    __device__ __forceinline__ float2 statistics(float about, int width, float epsilon) {
        float2 sums = make_float2(0.f, 0.f);
        each(width, [&](int, float(&x)[kChunk]) {
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
        float2 top = make_float2(0.f, 0.f);
        each(width, [&](int, float(&x)[kChunk]) {
#pragma unroll
            for (int i = 0; i < kChunk; ++i) top.x = fmaxf(top.x, fabsf(x[i]));
        });
        top = row_reduce<Max>(top);
        const float factor = top.x > 0 ? kLargest / top.x : 0.f;
        each(width, [&](int at, float(&x)[kChunk]) { store8_fp8(to + at, x, factor); });
        if (threadIdx.x == 0) *row_scale = top.x / kLargest;
    }
};

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
    Row row;
    row.load_from(x + r * x_stride, width);
    if constexpr (Residual) {
        row.change(width, [&](int at, float(&v)[kChunk]) {
            float add[kChunk], gate[kChunk];
            load8(y + r * y_stride + at, add);
            load8(m.gate + modulation + at, gate);
#pragma unroll
            for (int i = 0; i < kChunk; ++i) v[i] = fmaf(gate[i], add[i], v[i]);
        });
        row.store_to(sum + r * x_stride, width);
    }
    const float2 statistics = row.statistics(about, width, epsilon);
    row.change(width, [&](int at, float(&v)[kChunk]) {
        float shift[kChunk], scale[kChunk];
        load8(m.shift + modulation + at, shift);
        load8(m.scale + modulation + at, scale);
#pragma unroll
        for (int i = 0; i < kChunk; ++i)
            v[i] = fmaf((v[i] - statistics.x) * statistics.y, 1.f + scale[i], shift[i]);
    });
    if constexpr (Fp8) {
        row.quantize(static_cast<uint8_t*>(out) + r * out_stride, row_scales + r, width);
    } else {
        row.store_to(static_cast<bf16*>(out) + r * out_stride, width);
    }
}

__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.f, 1.f + __expf(-x)); }

// 0.5 x (1 + tanh(u)) = x sigmoid(2u)
__device__ __forceinline__ float gelu(float x) {
    return x * sigmoid(1.5957691216f * fmaf(0.044715f * x * x, x, x));
}

// One block a token; a head is spread over D / 8 neighbouring threads. Reads and writes of an element are by one thread,
// so the outputs may lie over the inputs.
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
    Row row;
    row.load_from(x + r * x_stride, width);
    row.change(width, [](int, float(&v)[kChunk]) {
#pragma unroll
        for (int i = 0; i < kChunk; ++i) v[i] = gelu(v[i]);
    });
    row.store_to(out + r * out_stride, width);
}

// A row of the output is [first (plain), gelu(x)], quantised under one scale: a single block's [attention, mlp].
__global__ void gelu_fp8(const bf16* first, long long first_stride, int first_width, const bf16* x, long long x_stride,
                         int x_width, uint8_t* out, long long out_stride, float* row_scales, int rows) {
    const int r = row_index(), width = first_width + x_width;
    if (r >= rows) return;
    Row row;
    row.each_packed(width, [&](int at, uint4& words) {
        words = load(at < first_width ? first + r * first_stride + at : x + r * x_stride + at - first_width);
    });
    row.change(width, [&](int at, float(&v)[kChunk]) {
        if (at < first_width) return;
#pragma unroll
        for (int i = 0; i < kChunk; ++i) v[i] = gelu(v[i]);
    });
    row.quantize(out + r * out_stride, row_scales + r, width);
}

__global__ void quantize_rows_fp8(const bf16* x, long long x_stride, uint8_t* out, long long out_stride,
                                  float* row_scales, int rows, int width) {
    const int r = row_index();
    if (r >= rows) return;
    Row row;
    row.load_from(x + r * x_stride, width);
    row.quantize(out + r * out_stride, row_scales + r, width);
}

// `out` may be x.
__global__ void gated_residual(const bf16* x, long long x_stride, const bf16* y, long long y_stride, const bf16* gate,
                               int tokens, int split, long long second, long long item_stride, bf16* out,
                               long long out_stride, int rows, int width) {
    const int r = row_index();
    if (r >= rows) return;
    gate += Streams{tokens, split, second, item_stride}.offset(r);
    Row row;
    row.load_from(x + r * x_stride, width);
    row.change(width, [&](int at, float(&v)[kChunk]) {
        float add[kChunk], g[kChunk];
        load8(y + r * y_stride + at, add);
        load8(gate + at, g);
#pragma unroll
        for (int i = 0; i < kChunk; ++i) v[i] = fmaf(g[i], add[i], v[i]);
    });
    row.store_to(out + r * out_stride, width);
}

// `weight` is [rows, columns] e4m3, columns a multiple of 16; one scale for all, or one a row where `per_row`. Grid: one
// block a row; columns / 16 threads give each one load.
__global__ void widen_fp8(const uint8_t* weight, const float* scale, int per_row, bf16* out, int columns) {
    const long long row = blockIdx.x;
    const float factor = scale[per_row ? row : 0];
    for (int column = threadIdx.x * 16; column < columns; column += blockDim.x * 16) {
        const uint4 words = *reinterpret_cast<const uint4*>(weight + row * columns + column);
        const uint32_t w[4] = {words.x, words.y, words.z, words.w};
        uint32_t wide[8];
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            const auto pair = static_cast<__nv_fp8x2_storage_t>(w[i / 2] >> (i % 2 * 16));
            const float2 x = __half22float2(__half2(__nv_cvt_fp8x2_to_halfraw2(pair, __NV_E4M3)));
            wide[i] = pack_bf16(x.x * factor, x.y * factor);
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
        out[i] = __float2bfloat16_rn(v * sigmoid(v));
    }
}

}  // extern "C"
