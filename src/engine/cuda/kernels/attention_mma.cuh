// What the attention kernels through mma.sync share (attention_sm80.cu, text.cu): copies into swizzled rows of shared
// memory, and one warp's products on 32 query rows. A block is kWarps such warps; tiles are described in
// attention_sm80.cu.
#pragma once
#include <cuda_bf16.h>

#include "attention_rows.cuh"
#include "mma.cuh"
#include "values.cuh"

constexpr int kWarps = 4;
constexpr int kTileRows = 128;  // query rows of a block
constexpr int kWarpTiles = 2;   // of 16 rows

// Rows of D values in shared memory: 16-byte chunk c of row r at c ^ (r % 8), or at c ^ (r / 2 % 4) where two rows
// share 128 bytes (D = 32), which ldmatrix reads without bank conflicts. `base` is aligned to a row, so that steps
// along a row are exclusive-ors into an address and steps over 16 rows additions.
template <int D>
struct Tile {
    static_assert(D == 32 || D == 64 || D == 128);
    uint32_t base;
    __device__ __forceinline__ uint32_t at(int row, int chunk) const {
        const int turn = D == 32 ? row >> 1 & 3 : row & 7;
        return base + row * (D * 2) + ((chunk ^ turn) << 4);
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

    __device__ __forceinline__ Warp(const Tile<D>& queries, const Tile<D>& keys, const Tile<D>& vals)
        : lane(threadIdx.x % 32), first_row(threadIdx.x / 32 * 16 * kWarpTiles) {
        q_at = queries.at(first_row + lane % 16, lane / 16);
        k_at = keys.at(lane % 8 + lane / 16 * 8, lane / 8 % 2);
        v_at = vals.at(lane % 16, lane / 16);
    }

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

    // o / sum, into rows from `first_query` on of `out`, which has `length`.
    __device__ __forceinline__ void write(__nv_bfloat16* out, long long row_stride, int first_query, int length) {
#pragma unroll
        for (int t = 0; t < kWarpTiles; ++t) {
            const float sums[2] = {quad_sum(rows[t].sum[0]), quad_sum(rows[t].sum[1])};
            const int row = first_query + first_row + 16 * t;
            write_rows(o[t], sums, out + row * row_stride, row_stride, length - row, lane);
        }
    }
};
