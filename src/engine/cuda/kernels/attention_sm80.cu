// Fused attention for Ampere and later: O = softmax(scale * Q K^T) V, no mask, bf16 in and out, fp32 inside, head dim
// 128 or 64. The same function as attention_sm90.cu without Hopper's instructions; its PTX also serves newer cards.
//
// Layouts. Any lengths from 1. q, k, v and out are plain pointers with row, head and batch strides in elements; rows
// are 16-byte aligned, so any of them may be a slice of a wider buffer.
//
// Tiling. A block of four warps works on 128 query rows of one head (grid: tiles, heads, batch); each warp keeps 32
// rows of O in registers, two mma tiles, so that every K and V fragment read from shared memory feeds two products. Q
// stays in shared memory; K and V blocks of kBlock rows come by cp.async, V under Q K^T and the next K under softmax
// and P V. Two blocks a multiprocessor hide each other's softmax. One warp's products and the layout of rows in shared
// memory are in attention_mma.cuh.
//
// kBlock 64 needs 64 KB of shared memory at head dim 128 (two blocks fit on 8.0, one on 8.6 and 8.9), kBlock 32 48 KB.
//
// Bound by the tensor cores: 4 * length^2 * D * heads FLOP. Times: benches/PERFORMANCE.md.
#include <cuda_bf16.h>

#include <type_traits>

#include "attention_mma.cuh"

namespace {

struct Strides {
    long long row, head, batch;
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

    Warp<D, Block> warp(queries, keys, vals);

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

    warp.write(out, out_strides.row, first_query, q_len);
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
