// A x of a LoRA beside a layer in fp8: many rows against few, which no library is made for.
//
//   side_down_fp8_{16,32}   out = (x · Aᵀ) * scale of x's row * scale of A's row, so many rows of A at a time
//
// x is [rows, inner], A [ranks, inner], both e4m3 without gaps, inner a multiple of 16; out [rows, ranks] in bf16. A block
// has 16 rows of x, and its sixteen warps share their columns: each takes every sixteenth piece of 64, four of them at a
// time so that their reads are under way together, and what they summed is added up in shared memory. Bound by reading x once: at 1024² 14 MB for 3072 columns and 71 for 15360, 3 and 15 us at
// 4.8 TB/s. cublasLt's tiles are 128 rows, so 36 of 132 multiprocessors would read.
//
// The product of e4m3 (m16n8k32) takes the columns of a piece in any order that both sides share: a thread reads 16 bytes
// in a row, and uses words 0 and 1 in the first product, 2 and 3 in the second.
#include <cuda_bf16.h>

#include <cstdint>

namespace {

constexpr int kWarps = 16, kRows = 16, kPiece = 64, kAhead = 4;

__device__ __forceinline__ void multiply_add_e4m3(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                                                  uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 890
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
#else
    __trap();  // cards before 8.9 have no such product, and are never asked for it
#endif
}

__device__ __forceinline__ uint4 load(const uint8_t* row, int at, int inner) {
    return at < inner ? *reinterpret_cast<const uint4*>(row + at) : make_uint4(0, 0, 0, 0);
}

template <int Octets>
__device__ __forceinline__ void side_down(const uint8_t* x, const float* x_scales, const uint8_t* a, const float* a_scales,
                                          __nv_bfloat16* out, int rows, int ranks, int inner) {
    __shared__ float sums[kWarps][kRows][8 * Octets];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, quad = lane / 4, part = lane % 4;
    const int first = blockIdx.x * kRows, rank = blockIdx.y * 8 * Octets;
    const long long width = inner;
    // Rows behind the last are read as the last, and not written.
    const uint8_t* low = x + min(first + quad, rows - 1) * width;
    const uint8_t* high = x + min(first + quad + 8, rows - 1) * width;
    const uint8_t* down = a + (rank + quad) * width;
    float sum[Octets][4] = {};
    for (int piece = warp * kPiece; piece < inner; piece += kAhead * kWarps * kPiece) {
        uint4 l[kAhead], h[kAhead];
#pragma unroll
        for (int next = 0; next < kAhead; ++next) {
            const int at = piece + next * kWarps * kPiece + 16 * part;
            l[next] = load(low, at, inner), h[next] = load(high, at, inner);
        }
#pragma unroll
        for (int next = 0; next < kAhead; ++next) {
            const int at = piece + next * kWarps * kPiece + 16 * part;
#pragma unroll
            for (int octet = 0; octet < Octets; ++octet) {
                const uint4 b = load(down + octet * 8 * width, at, inner);
                multiply_add_e4m3(sum[octet], l[next].x, h[next].x, l[next].y, h[next].y, b.x, b.y);
                multiply_add_e4m3(sum[octet], l[next].z, h[next].z, l[next].w, h[next].w, b.z, b.w);
            }
        }
    }
#pragma unroll
    for (int octet = 0; octet < Octets; ++octet) {
        float* to = &sums[warp][quad][8 * octet + 2 * part];
        to[0] = sum[octet][0];
        to[1] = sum[octet][1];
        to[8 * 8 * Octets] = sum[octet][2];
        to[8 * 8 * Octets + 1] = sum[octet][3];
    }
    __syncthreads();
    for (int at = threadIdx.x; at < kRows * 8 * Octets; at += 32 * kWarps) {
        const int row = at / (8 * Octets), column = at % (8 * Octets);
        if (first + row >= rows) return;
        float all = 0;
#pragma unroll
        for (int other = 0; other < kWarps; ++other) all += sums[other][row][column];
        all *= x_scales[first + row] * a_scales[rank + column];
        out[static_cast<long long>(first + row) * ranks + rank + column] = __float2bfloat16_rn(all);
    }
}

}  // namespace

extern "C" {

#define SIDE_DOWN(count)                                                                                             \
    __global__ __launch_bounds__(32 * kWarps) void side_down_fp8_##count(                                            \
        const uint8_t* x, const float* x_scales, const uint8_t* a, const float* a_scales, __nv_bfloat16* out,        \
        int rows, int ranks, int inner) {                                                                            \
        side_down<count / 8>(x, x_scales, a, a_scales, out, rows, ranks, inner);                                     \
    }

SIDE_DOWN(16)
SIDE_DOWN(32)

}  // extern "C"
