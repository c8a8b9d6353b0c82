// The text encoders, T5's and CLIP's, but for their matrix products: a residual stream in fp32 (T5's leaves the range
// of fp16 and loses too much in bf16), everything else bf16 with fp32 arithmetic inside.
//
//   embed_rows                  x = table[id] (+ positions[row])
//   add_rms_norm                x += y; out = x / rms(x) * weight
//   add_layer_norm              x += y; out = (x - mean) / deviation * weight + bias
//   attention_bias_d{64,32}     T5: softmax(scale * Q K^T + bias[key - query]) V, every key
//   attention_causal_d64        CLIP: softmax(scale * Q K^T) V over the keys up to the query
//   gated_gelu                  gelu(x[0..width]) * x[width..2 * width], tanh form
//   quick_gelu                  x * sigmoid(1.702 x)
//
// Layouts. Rows are tokens; row strides are in elements; every row starts on 16 bytes, widths are multiples of 8. For
// attention q, k and v are rows of heads * D values in one buffer or three, with one row stride and one item stride
// (from one text of the batch to the next); lengths from 1. `bias` is fp32 [heads, 2 * length - 1], at column key -
// query + length - 1: a score's bias depends on the distance only, so a table twice as long as the text takes the place
// of [heads, length, length].
//
// Tiling. Norms: kNormChunks 8-value chunks a thread, all loaded before the first use; blockDim.x threads a row, which
// is width / (8 * kNormChunks) rounded up to whole warps; blockDim.y rows a block: any number where a row is one warp,
// else 1. Activations: a chunk a thread, grid (chunks of a row, rows). Attention: as attention_sm80.cu, but blocks of
// keys go first to last, since the first holds a key for every query whatever the mask; the biases that a tile of
// queries can meet, one for each of its diagonals, lie in shared memory, and a thread's 64 scores need 22 of them.
//
// Bound by device memory but for attention. Bytes for L tokens of width H: embed 6LH (8LH with positions), norms 12LH
// (6LH without y), gated_gelu 6LF for an MLP of F, quick_gelu 4LF. Attention: 4 * length^2 * D * heads FLOP. Times:
// benches/PERFORMANCE.md.
#include <cuda_bf16.h>

#include <type_traits>

#include "attention_mma.cuh"
#include "values.cuh"

namespace {

constexpr int kNormChunks = 2;  // of a thread
constexpr int kKeys = 64;       // of a block

__device__ __forceinline__ void load8(const float* from, float (&to)[kChunk]) {
    const float4 a = reinterpret_cast<const float4*>(from)[0], b = reinterpret_cast<const float4*>(from)[1];
    to[0] = a.x, to[1] = a.y, to[2] = a.z, to[3] = a.w;
    to[4] = b.x, to[5] = b.y, to[6] = b.z, to[7] = b.w;
}

__device__ __forceinline__ void store8(float* to, const float (&v)[kChunk]) {
    reinterpret_cast<float4*>(to)[0] = make_float4(v[0], v[1], v[2], v[3]);
    reinterpret_cast<float4*>(to)[1] = make_float4(v[4], v[5], v[6], v[7]);
}

// Over the threads of a row; the same value in each of them. `of_warp` has a word a warp and is used once a kernel.
__device__ __forceinline__ float row_sum(float x, float* of_warp) {
#pragma unroll
    for (int step = 16; step; step /= 2) x += __shfl_xor_sync(~0u, x, step);
    if (blockDim.x > 32) {
        if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = x;
        __syncthreads();
        x = of_warp[0];
#pragma unroll 1
        for (int warp = 1; warp < blockDim.x / 32; ++warp) x += of_warp[warp];
    }
    return x;
}

// `Centred`: layer norm. y null: nothing is added, and x is only read. A row of up to blockDim.x * kNormChunks * 8
// values.
template <bool Centred>
__device__ __forceinline__ void add_norm(float* x, long long x_stride, const bf16* y, long long y_stride,
                                         const bf16* weight, const bf16* bias, bf16* out, long long out_stride,
                                         int rows, int width, float epsilon) {
    __shared__ float of_warp[2][32];
    const int r = blockIdx.x * blockDim.y + threadIdx.y;
    if (r >= rows) return;
    x += r * x_stride, out += r * out_stride;
    const auto each = [&](auto f) {
#pragma unroll
        for (int c = 0; c < kNormChunks; ++c) {
            const int at = (c * blockDim.x + threadIdx.x) * kChunk;
            if (at < width) f(c, at);
        }
    };
    float v[kNormChunks][kChunk];
    uint4 weights[kNormChunks];
    each([&](int c, int at) {
        load8(x + at, v[c]);
        weights[c] = load(weight + at);
    });
    if (y) {
        y += r * y_stride;
        uint4 branch[kNormChunks];
        each([&](int c, int at) { branch[c] = load(y + at); });
        each([&](int c, int at) {
            float add[kChunk];
            unpack(branch[c], add);
#pragma unroll
            for (int i = 0; i < kChunk; ++i) v[c][i] += add[i];
            store8(x + at, v[c]);
        });
    }
    float mean = 0;
    if constexpr (Centred) {
        float sum = 0;
        each([&](int c, int) {
#pragma unroll
            for (int i = 0; i < kChunk; ++i) sum += v[c][i];
        });
        mean = row_sum(sum, of_warp[0]) / width;
    }
    float squares = 0;
    each([&](int c, int) {
#pragma unroll
        for (int i = 0; i < kChunk; ++i) squares = fmaf(v[c][i] - mean, v[c][i] - mean, squares);
    });
    const float factor = rsqrtf(row_sum(squares, of_warp[1]) / width + epsilon);
    each([&](int c, int at) {
        float w[kChunk], b[kChunk] = {};
        unpack(weights[c], w);
        if constexpr (Centred) load8(bias + at, b);
#pragma unroll
        for (int i = 0; i < kChunk; ++i) v[c][i] = fmaf((v[c][i] - mean) * factor, w[i], b[i]);
        store8(out + at, v[c]);
    });
}

// One chunk of a row for this thread: f(row, column).
template <class F>
__device__ __forceinline__ void one_chunk(int width, F f) {
    const int at = (blockIdx.x * blockDim.x + threadIdx.x) * kChunk;
    if (at < width) f(static_cast<long long>(blockIdx.y), at);
}

// The biases that a tile of queries can meet, in units of log 2: entry i is the one of distance key - query = i -
// (kTileRows - 1) - first_query. Entries past the table's ends serve keys and queries that are not there.
struct Diagonals {
    const float* entries;

    static __device__ __forceinline__ int count(int blocks) { return blocks * kKeys + kTileRows; }

    static __device__ __forceinline__ void fill(float* entries, const float* table, int first_query, int length,
                                                int blocks) {
        for (int i = threadIdx.x; i < count(blocks); i += kWarps * 32) {
            const int at = i - (kTileRows - 1) - first_query + length - 1;
            entries[i] = at >= 0 && at < 2 * length - 1 ? table[at] * kLog2e : 0.f;
        }
    }

    // s = s * scale + bias. Eight columns right and eight rows down meet the same biases.
    template <int D>
    __device__ __forceinline__ void add(Warp<D, kKeys>& warp, int block, float scale_log2) const {
        constexpr int below = 2 * kWarpTiles - 1, groups = kKeys / 8 + below;
        const float* from = entries + block * kKeys + kTileRows - 1 - warp.first_row - warp.lane / 4 +
                            (warp.lane & 3) * 2 - 8 * below;
        float bias[groups][2];
#pragma unroll
        for (int g = 0; g < groups; ++g) bias[g][0] = from[8 * g], bias[g][1] = from[8 * g + 1];
#pragma unroll
        for (int t = 0; t < kWarpTiles; ++t)
#pragma unroll
            for (int i = 0; i < kKeys / 2; ++i) {
                const int r = i >> 1 & 1;
                warp.s[t][i] = fmaf(warp.s[t][i], scale_log2, bias[i / 4 - r - 2 * t + below][i & 1]);
            }
    }
};

// Keys after the query, or past the end.
template <int D>
__device__ __forceinline__ void mask_later(Warp<D, kKeys>& warp, int block, int first_query, int length) {
#pragma unroll
    for (int t = 0; t < kWarpTiles; ++t)
#pragma unroll
        for (int i = 0; i < kKeys / 2; ++i) {
            const int query = first_query + warp.first_row + 16 * t + 8 * (i >> 1 & 1) + warp.lane / 4;
            const int key = block * kKeys + i / 4 * 8 + (warp.lane & 3) * 2 + (i & 1);
            if (key > query || key >= length) warp.s[t][i] = -INFINITY;
        }
}

// Causal: the keys up to the query and no biases; else every key.
template <int D, bool Causal>
__device__ __forceinline__ void attention(const bf16* q, const bf16* k, const bf16* v, long long row, long long item,
                                          bf16* out, long long out_row, long long out_item, int length,
                                          const float* bias, float scale_log2) {
    extern __shared__ __align__(1024) uint8_t shared[];
    const uint32_t base = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
    const Tile<D> queries{base}, keys{base + kTileRows * D * 2}, vals{base + (kTileRows + kKeys) * D * 2};
    float* entries = reinterpret_cast<float*>(shared + (kTileRows + 2 * kKeys) * D * 2);
    const int head = blockIdx.y, first_query = blockIdx.x * kTileRows;
    const long long start = blockIdx.z * item + head * D;
    q += start, k += start, v += start;
    out += blockIdx.z * out_item + head * D;
    const int blocks = ((Causal ? min(length, first_query + kTileRows) : length) + kKeys - 1) / kKeys;

    Warp<D, kKeys> warp(queries, keys, vals);
    queries.template load<kTileRows>(q, row, first_query, length);
    keys.template load<kKeys>(k, row, 0, length);
    copies_commit();
    if constexpr (!Causal) Diagonals::fill(entries, bias + head * (2 * length - 1), first_query, length, blocks);
    int block = 0;
    const auto products = [&](auto first) {
        copies_wait<0>();
        __syncthreads();  // K is here, and nobody reads V any more
        vals.template load<kKeys>(v, row, block * kKeys, length);
        copies_commit();
        warp.scores();
        copies_wait<0>();
        __syncthreads();  // V is here, and nobody reads K any more
        if (block + 1 < blocks) keys.template load<kKeys>(k, row, (block + 1) * kKeys, length);
        copies_commit();
        if constexpr (Causal) {
            mask_later(warp, block, first_query, length);
        } else {
            Diagonals{entries}.add(warp, block, scale_log2);
            if ((block + 1) * kKeys > length) {
#pragma unroll
                for (int t = 0; t < kWarpTiles; ++t) mask_columns(warp.s[t], length - block * kKeys, warp.lane);
            }
        }
        warp.template softmax_rows<decltype(first)::value>(Causal ? scale_log2 : 1.f);
        warp.values();
    };
    products(std::true_type{});
    for (block = 1; block < blocks; ++block) products(std::false_type{});
    warp.write(out, out_row, first_query, length);
}

}  // namespace

extern "C" {

// Grid: one block a row, threads as the width wants. Ids are below the table's rows. `positions` may be null; a row's
// is row % tokens.
__global__ void embed_rows(const unsigned* ids, const bf16* table, const bf16* positions, int tokens, float* x,
                           long long x_stride, int width) {
    const int r = blockIdx.x;
    const bf16* from = table + static_cast<long long>(ids[r]) * width;
    for (int at = threadIdx.x * kChunk; at < width; at += blockDim.x * kChunk) {
        float v[kChunk];
        load8(from + at, v);
        if (positions) {
            float position[kChunk];
            load8(positions + static_cast<long long>(r % tokens) * width + at, position);
#pragma unroll
            for (int i = 0; i < kChunk; ++i) v[i] += position[i];
        }
        store8(x + r * x_stride + at, v);
    }
}

__global__ void add_rms_norm(float* x, long long x_stride, const bf16* y, long long y_stride, const bf16* weight,
                             bf16* out, long long out_stride, int rows, int width, float epsilon) {
    add_norm<false>(x, x_stride, y, y_stride, weight, nullptr, out, out_stride, rows, width, epsilon);
}

__global__ void add_layer_norm(float* x, long long x_stride, const bf16* y, long long y_stride, const bf16* weight,
                               const bf16* bias, bf16* out, long long out_stride, int rows, int width, float epsilon) {
    add_norm<true>(x, x_stride, y, y_stride, weight, bias, out, out_stride, rows, width, epsilon);
}

// `out` may lie over the first half of x.
__global__ void gated_gelu(const bf16* x, long long x_stride, bf16* out, long long out_stride, int width) {
    one_chunk(width, [&](long long r, int at) {
        float a[kChunk], b[kChunk];
        load8(x + r * x_stride + at, a);
        load8(x + r * x_stride + width + at, b);
#pragma unroll
        for (int i = 0; i < kChunk; ++i) a[i] = gelu(a[i]) * b[i];
        store8(out + r * out_stride + at, a);
    });
}

// `out` may be x.
__global__ void quick_gelu(const bf16* x, long long x_stride, bf16* out, long long out_stride, int width) {
    one_chunk(width, [&](long long r, int at) {
        float v[kChunk];
        load8(x + r * x_stride + at, v);
#pragma unroll
        for (int i = 0; i < kChunk; ++i) v[i] *= falling_sigmoid(-1.702f * kLog2e * v[i]);
        store8(out + r * out_stride + at, v);
    });
}

// Grid: (tiles of 128 queries, heads, items), 128 threads. Shared memory: 256 * D * 2 bytes, and for the biases
// (length rounded up to 64, + 128) * 4.
__global__ void __launch_bounds__(128, 2)
    attention_bias_d64(const bf16* q, const bf16* k, const bf16* v, long long row, long long item, bf16* out,
                       long long out_row, long long out_item, int length, const float* bias, float scale_log2) {
    attention<64, false>(q, k, v, row, item, out, out_row, out_item, length, bias, scale_log2);
}

__global__ void __launch_bounds__(128, 2)
    attention_bias_d32(const bf16* q, const bf16* k, const bf16* v, long long row, long long item, bf16* out,
                       long long out_row, long long out_item, int length, const float* bias, float scale_log2) {
    attention<32, false>(q, k, v, row, item, out, out_row, out_item, length, bias, scale_log2);
}

__global__ void __launch_bounds__(128, 2)
    attention_causal_d64(const bf16* q, const bf16* k, const bf16* v, long long row, long long item, bf16* out,
                         long long out_row, long long out_item, int length, float scale_log2) {
    attention<64, true>(q, k, v, row, item, out, out_row, out_item, length, nullptr, scale_log2);
}

}  // extern "C"
