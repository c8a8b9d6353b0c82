// Fused attention for Ampere and later: O = softmax(scale * Q K^T) V, no mask, bf16 in and out, fp32 inside, head dim
// 128 or 64. The same function as attention_sm90.cu without Hopper's instructions; its PTX also serves newer cards.
//
// Layouts. Any lengths from 1. q, k, v and out are plain pointers with row, head and batch strides in elements; rows
// are 16-byte aligned, so any of them may be a slice of a wider buffer.
//
// Tiling. A block of four warps works on 128 query rows of one head (grid: tiles, heads, batch); each warp keeps 32
// rows of O in registers, two mma tiles, so that every K and V fragment read from shared memory feeds two products. Q
// stays in shared memory; K and V blocks of kBlock rows come by cp.async, V under Q K^T and the next K under softmax
// and P V. Two blocks a multiprocessor hide each other's softmax. Rows in shared memory are 16-byte chunks, chunk c of
// row r at c ^ (r % 8), which ldmatrix reads without bank conflicts.
//
// kBlock 64 needs 64 KB of shared memory at head dim 128 (two blocks fit on 8.0, one on 8.6 and 8.9), kBlock 32 48 KB.
//
// Bound by the tensor cores: 4 * length^2 * D * heads FLOP. Times: benches/PERFORMANCE.md.
#include <cuda_bf16.h>

#include <type_traits>

#include "attention_rows.cuh"
#include "mma.cuh"

namespace {

constexpr int kWarps = 4;
constexpr int kTileRows = 128;  // query rows of a block
constexpr int kWarpTiles = 2;   // of 16 rows
constexpr int kChunk = 8;       // bf16 values in 16 bytes

struct Strides {
    long long row, head, batch;
};

// Rows of D values in shared memory, swizzled. `base` is aligned to a row, so that steps along a row are exclusive-ors
// into an address and steps over 16 rows additions.
template <int D>
struct Tile {
    uint32_t base;
    __device__ __forceinline__ uint32_t at(int row, int chunk) const {
        return base + row * (D * 2) + ((chunk ^ (row & 7)) << 4);
    }

    // `rows` rows from `from` on, those past `length` as zeros.
    template <int Rows>
    __device__ __forceinline__ void load(const __nv_bfloat16* source, long long row_stride, int from,
                                         int length) const {
        constexpr int chunks = D / kChunk, rows_at_once = kWarps * 32 / chunks;
        const int chunk = threadIdx.x % chunks, first = threadIdx.x / chunks;
#pragma unroll
        for (int r = 0; r < Rows; r += rows_at_once) {
            const int row = from + first + r;
            const bool inside = row < length;
            copy_async(at(first + r, chunk), source + (inside ? row : 0) * row_stride + chunk * kChunk, inside);
        }
    }
};

template <int D, int Block>
struct Warp {
    static constexpr int kScores = Block / 2, kOut = D / 2;  // accumulators of a 16-row tile in a thread
    float s[kWarpTiles][kScores], o[kWarpTiles][kOut];
    Rows rows[kWarpTiles];
    int lane, first_row;        // of this warp in the block's tile
    uint32_t q_at, k_at, v_at;  // this lane's address in the first fragment of each

    // s = Q K^T
    __device__ __forceinline__ void scores() {
#pragma unroll
        for (int t = 0; t < kWarpTiles; ++t)
#pragma unroll
            for (int i = 0; i < kScores; ++i) s[t][i] = 0;
#pragma unroll
        for (int step = 0; step < D / 16; ++step) {
            uint32_t a[kWarpTiles][4];
#pragma unroll
            for (int t = 0; t < kWarpTiles; ++t) load_matrices(a[t], (q_at ^ (step << 5)) + 16 * t * D * 2);
#pragma unroll
            for (int pair = 0; pair < Block / 16; ++pair) {
                uint32_t b[4];
                load_matrices(b, (k_at ^ (step << 5)) + 16 * pair * D * 2);
#pragma unroll
                for (int t = 0; t < kWarpTiles; ++t) {
                    multiply_add(s[t] + 8 * pair, a[t], b[0], b[1]);
                    multiply_add(s[t] + 8 * pair + 4, a[t], b[2], b[3]);
                }
            }
        }
    }

    // o += P V, with P rounded from s.
    __device__ __forceinline__ void values() {
        uint32_t p[kWarpTiles][kScores / 2];
#pragma unroll
        for (int t = 0; t < kWarpTiles; ++t) to_operand(s[t], p[t]);
#pragma unroll
        for (int step = 0; step < Block / 16; ++step) {
#pragma unroll
            for (int pair = 0; pair < D / 16; ++pair) {
                uint32_t b[4];
                load_matrices_transposed(b, (v_at ^ (pair << 5)) + 16 * step * D * 2);
#pragma unroll
                for (int t = 0; t < kWarpTiles; ++t) {
                    multiply_add(o[t] + 8 * pair, p[t] + 4 * step, b[0], b[1]);
                    multiply_add(o[t] + 8 * pair + 4, p[t] + 4 * step, b[2], b[3]);
                }
            }
        }
    }

    template <bool First>
    __device__ __forceinline__ void softmax_rows(float scale_log2) {
#pragma unroll
        for (int t = 0; t < kWarpTiles; ++t) {
            float shrink[2];
            softmax<kScores, First>(s[t], rows[t], shrink, scale_log2);
            if constexpr (First) {
#pragma unroll
                for (int i = 0; i < kOut; ++i) o[t][i] = 0;
            } else {
                multiply_rows(o[t], shrink);
            }
        }
    }
};

template <int D, int Block>
__device__ __forceinline__ void attention(const __nv_bfloat16* q, const Strides& q_strides, const __nv_bfloat16* k,
                                          const Strides& k_strides, const __nv_bfloat16* v, const Strides& v_strides,
                                          __nv_bfloat16* out, const Strides& out_strides, int q_len, int kv_len,
                                          float scale_log2) {
    extern __shared__ __align__(1024) uint8_t shared[];
    const uint32_t base = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
    const Tile<D> queries{base}, keys{base + kTileRows * D * 2}, vals{base + (kTileRows + Block) * D * 2};
    const int head = blockIdx.y, batch = blockIdx.z, first_query = blockIdx.x * kTileRows;
    q += head * q_strides.head + batch * q_strides.batch;
    k += head * k_strides.head + batch * k_strides.batch;
    v += head * v_strides.head + batch * v_strides.batch;
    out += head * out_strides.head + batch * out_strides.batch;

    Warp<D, Block> warp;
    warp.lane = threadIdx.x % 32;
    warp.first_row = threadIdx.x / 32 * 16 * kWarpTiles;
    warp.q_at = queries.at(warp.first_row + warp.lane % 16, warp.lane / 16);
    warp.k_at = keys.at(warp.lane % 8 + warp.lane / 16 * 8, warp.lane / 8 % 2);
    warp.v_at = vals.at(warp.lane % 16, warp.lane / 16);

    // Blocks go last to first, so that only the first one met may need masking.
    int block = (kv_len - 1) / Block;
    queries.template load<kTileRows>(q, q_strides.row, first_query, q_len);
    keys.template load<Block>(k, k_strides.row, block * Block, kv_len);
    copies_commit();
    const auto products = [&](auto first) {
        copies_wait<0>();
        __syncthreads();  // K is here, and nobody reads V any more
        vals.template load<Block>(v, v_strides.row, block * Block, kv_len);
        copies_commit();
        warp.scores();
        copies_wait<0>();
        __syncthreads();  // V is here, and nobody reads K any more
        if (block > 0) keys.template load<Block>(k, k_strides.row, (block - 1) * Block, kv_len);
        copies_commit();
        if constexpr (decltype(first)::value) {
            if (kv_len % Block != 0) {
#pragma unroll
                for (int t = 0; t < kWarpTiles; ++t) mask_columns(warp.s[t], kv_len % Block, warp.lane);
            }
        }
        warp.template softmax_rows<decltype(first)::value>(scale_log2);
        warp.values();
    };
    products(std::true_type{});
    for (--block; block >= 0; --block) products(std::false_type{});

#pragma unroll
    for (int t = 0; t < kWarpTiles; ++t) {
        const float sums[2] = {quad_sum(warp.rows[t].sum[0]), quad_sum(warp.rows[t].sum[1])};
        const int row = first_query + warp.first_row + 16 * t;
        write_rows(warp.o[t], sums, out + row * out_strides.row, out_strides.row, q_len - row, warp.lane);
    }
}

}  // namespace

// Shared memory: (128 + 2 * Block) * D * 2 bytes.
#define ATTENTION_SM80(name, D, Block)                                                                             \
    extern "C" __global__ void __launch_bounds__(128, 2)                                                           \
        name(const __nv_bfloat16* q, long long q_row, long long q_head, long long q_batch, const __nv_bfloat16* k, \
             long long k_row, long long k_head, long long k_batch, const __nv_bfloat16* v, long long v_row,        \
             long long v_head, long long v_batch, __nv_bfloat16* out, long long out_row, long long out_head,       \
             long long out_batch, int q_len, int kv_len, int heads, float scale_log2) {                            \
        attention<D, Block>(q, {q_row, q_head, q_batch}, k, {k_row, k_head, k_batch}, v, {v_row, v_head, v_batch}, \
                            out, {out_row, out_head, out_batch}, q_len, kv_len, scale_log2);                       \
    }

ATTENTION_SM80(attention_sm80_d128, 128, 64)
ATTENTION_SM80(attention_sm80_d128_small, 128, 32)
ATTENTION_SM80(attention_sm80_d64, 64, 64)
