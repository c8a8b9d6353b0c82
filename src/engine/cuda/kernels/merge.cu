// LoRAs merged into weights that stay on the card: W' = W + what is changed, summed in fp32 and rounded once. A layer is done
// some rows at a time; `w` holds those rows in fp32, [rows, width] without gaps.
//
//   merge_begin_{bf16,fp8}     w = W (1 + factor of the row)           DoRA's by rows; no factors: W itself
//   merge_columns_{bf16,fp8}   w += W * factor of the column           DoRA's by columns
//   merge_low                  w += B A
//   merge_kron                 w += W1 kron W2
//   merge_add                  w += d
//   merge_end_bf16             W = w, to the nearest
//   merge_end_fp8              W = w, stochastically, under a scale a row
//
// Stochastic rounding (e.g. https://arxiv.org/abs/1502.02551): a value between two numbers of e4m3 becomes the upper one with
// the probability of its distance from the lower one, so that sums of many weights are right although a change is smaller
// than a step: rounding to the nearest would lose it. The random numbers are Philox4x32-10's (Salmon et al. 2011,
// https://doi.org/10.1145/2063384.2063405) of a key and the value's index: the same wherever and in whatever pieces it is
// computed.
//
// A row's scale is multiplied by the power of two under which its new largest just fits. So every weight that is not changed
// is a number of e4m3 under the new scale, too, and stays what it is, but for the last bits of the smallest where the scale
// grows; where it falls (many files have a scale of 1 for weights of 0.02, the smallest of which have few bits) changes are
// rounded in finer steps than the weights were. Under a scale of the new largest itself all weights would be rounded again.
//
// Speed: merge_low is bound by its multiplications, 12 G for each rank on all blocks of FLUX.1; the others by device
// memory, of which w's passes mostly stay in L2.
#include "fp8.cuh"
#include "values.cuh"

namespace {

constexpr int kRows = 16;    // of w that a thread of merge_low sums
constexpr int kColumns = 4;  // … and columns: 16 bytes
constexpr int kRanks = 32;   // of B in shared memory at a time
constexpr int kThreads = 128;

__device__ __forceinline__ long long start() { return static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ __forceinline__ long long step() { return static_cast<long long>(gridDim.x) * blockDim.x; }

struct FromBf16 {
    using Value = bf16;
    static __device__ __forceinline__ void four(const bf16* from, float, float (&to)[4]) {
        const uint2 words = *reinterpret_cast<const uint2*>(from);
        to[0] = __uint_as_float(words.x << 16);
        to[1] = __uint_as_float(words.x & 0xffff0000u);
        to[2] = __uint_as_float(words.y << 16);
        to[3] = __uint_as_float(words.y & 0xffff0000u);
    }
};
struct FromFp8 {
    using Value = uint8_t;
    static __device__ __forceinline__ void four(const uint8_t* from, float scale, float (&to)[4]) {
        const uint32_t words = *reinterpret_cast<const uint32_t*>(from);
        const float2 low = from_fp8(words & 0xffff), high = from_fp8(words >> 16);
        to[0] = low.x * scale, to[1] = low.y * scale, to[2] = high.x * scale, to[3] = high.y * scale;
    }
};

// `rows` null: 0 for every row. `columns` null: w begins here.
template <class From>
__device__ __forceinline__ void scaled(const typename From::Value* weight, const float* scales, const float* rows,
                                       const float* columns, float* w, int count, int width) {
    const int fours = width / 4;
    for (long long at = start(); at < static_cast<long long>(count) * fours; at += step()) {
        const long long row = at / fours;
        const int column = static_cast<int>(at % fours) * 4;
        float v[4];
        From::four(weight + row * width + column, scales ? scales[row] : 1.f, v);
        float4* to = reinterpret_cast<float4*>(w + row * width + column);
        if (columns) {
            const float4 own = *to, f = *reinterpret_cast<const float4*>(columns + column);
            *to = make_float4(fmaf(v[0], f.x, own.x), fmaf(v[1], f.y, own.y), fmaf(v[2], f.z, own.z), fmaf(v[3], f.w, own.w));
        } else {
            const float f = rows ? rows[row] : 0.f;
            *to = make_float4(fmaf(v[0], f, v[0]), fmaf(v[1], f, v[1]), fmaf(v[2], f, v[2]), fmaf(v[3], f, v[3]));
        }
    }
}

struct Four {
    uint32_t x[4];
};

__device__ __forceinline__ Four philox(uint32_t low, uint32_t high, uint32_t key0, uint32_t key1) {
    Four c = {{low, high, 0, 0}};
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const uint64_t one = static_cast<uint64_t>(0xd2511f53u) * c.x[0], other = static_cast<uint64_t>(0xcd9e8d57u) * c.x[2];
        c = {{static_cast<uint32_t>(other >> 32) ^ c.x[1] ^ key0, static_cast<uint32_t>(other),
              static_cast<uint32_t>(one >> 32) ^ c.x[3] ^ key1, static_cast<uint32_t>(one)}};
        key0 += 0x9e3779b9u, key1 += 0xbb67ae85u;
    }
    return c;
}

// x, at most 448 in magnitude, to the bits of one of the two numbers of e4m3 around it. What is within 4 units of fp32's
// last place of such a number is that number: a weight that was divided by its scale again.
__device__ __forceinline__ uint32_t stochastic(float x, uint32_t random) {
    const uint32_t bits = (__float_as_uint(fminf(fabsf(x), kLargest)) + 4) & ~7u;
    const uint32_t sign = __float_as_uint(x) >> 24 & 0x80;
    // From 2^-6 on three bits of the mantissa stay: what is cut off comes in by a carry out of 20 random bits.
    if (bits >= 0x3c800000u) return sign | (((bits + (random >> 12)) >> 20) - ((127 - 7) << 3));
    // Under it steps are 2^-9; 16 bits, so that the sum is exact.
    return sign | static_cast<uint32_t>(__uint_as_float(bits) * 512.f + static_cast<float>(random >> 16) * 0x1p-16f);
}

}  // namespace

extern "C" {

// Widths are multiples of 4; everything begins on 16 bytes, fp8 rows on 4. Grid: a line of any length.
__global__ void merge_begin_bf16(const bf16* weight, const float* rows, float* w, int count, int width) {
    scaled<FromBf16>(weight, nullptr, rows, nullptr, w, count, width);
}
__global__ void merge_begin_fp8(const uint8_t* weight, const float* scales, const float* rows, float* w, int count,
                                int width) {
    scaled<FromFp8>(weight, scales, rows, nullptr, w, count, width);
}
__global__ void merge_columns_bf16(const bf16* weight, const float* columns, float* w, int count, int width) {
    scaled<FromBf16>(weight, nullptr, nullptr, columns, w, count, width);
}
__global__ void merge_columns_fp8(const uint8_t* weight, const float* scales, const float* columns, float* w, int count,
                                  int width) {
    scaled<FromFp8>(weight, scales, nullptr, columns, w, count, width);
}

// `up` is B turned, [ranks, up_stride], of which columns from 0 on belong to the rows of w; `down` A, [ranks, width]. Grid:
// (width / 4 threads, a sixteenth of the rows).
__global__ __launch_bounds__(kThreads) void merge_low(float* w, const float* up, int up_stride, const float* down, int count,
                                                      int width, int ranks) {
    __shared__ float factors[kRanks * kRows];
    const int first = blockIdx.y * kRows, column = (blockIdx.x * kThreads + threadIdx.x) * kColumns;
    const bool inside = column < width;
    float4 sum[kRows];
#pragma unroll
    for (int i = 0; i < kRows; ++i) sum[i] = make_float4(0, 0, 0, 0);
    for (int rank = 0; rank < ranks; rank += kRanks) {
        __syncthreads();
        for (int at = threadIdx.x; at < kRanks * kRows; at += kThreads) {
            const int r = rank + at / kRows, row = first + at % kRows;
            factors[at] = r < ranks && row < count ? up[static_cast<long long>(r) * up_stride + row] : 0.f;
        }
        __syncthreads();
        if (!inside) continue;
        const int most = min(kRanks, ranks - rank);
        for (int r = 0; r < most; ++r) {
            const float4 a = *reinterpret_cast<const float4*>(down + static_cast<long long>(rank + r) * width + column);
#pragma unroll
            for (int i = 0; i < kRows; ++i) {
                const float b = factors[r * kRows + i];
                sum[i].x = fmaf(b, a.x, sum[i].x), sum[i].y = fmaf(b, a.y, sum[i].y);
                sum[i].z = fmaf(b, a.z, sum[i].z), sum[i].w = fmaf(b, a.w, sum[i].w);
            }
        }
    }
    if (!inside) return;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
        if (first + i >= count) break;
        float4* to = reinterpret_cast<float4*>(w + static_cast<long long>(first + i) * width + column);
        const float4 own = *to;
        *to = make_float4(own.x + sum[i].x, own.y + sum[i].y, own.z + sum[i].z, own.w + sum[i].w);
    }
}

// left [o1, width / i2], right [o2, i2]; the first row of w is row `first` of their product.
__global__ void merge_kron(float* w, const float* left, const float* right, int first, int count, int width, int o2, int i2) {
    const int i1 = width / i2;
    for (long long at = start(); at < static_cast<long long>(count) * width; at += step()) {
        const int row = first + static_cast<int>(at / width), column = static_cast<int>(at % width);
        w[at] = fmaf(left[static_cast<long long>(row / o2) * i1 + column / i2],
                     right[static_cast<long long>(row % o2) * i2 + column % i2], w[at]);
    }
}

__global__ void merge_add(float* w, const float* more, long long values) {
    for (long long at = start(); at < values; at += step()) w[at] += more[at];
}

__global__ void merge_end_bf16(const float* w, bf16* weight, long long values) {
    for (long long at = start(); at < values / 4; at += step()) {
        const float4 v = reinterpret_cast<const float4*>(w)[at];
        reinterpret_cast<uint2*>(weight)[at] = make_uint2(pack_bf16(v.x, v.y), pack_bf16(v.z, v.w));
    }
}

// `scales` are read and written; the first row of w is row `first` of the weight. Grid: one block a row; blocks are of whole
// warps.
__global__ void merge_end_fp8(const float* w, uint8_t* weight, float* scales, unsigned long long key, int first, int width) {
    __shared__ float of_warp[32];
    const int row = blockIdx.x;
    w += static_cast<long long>(row) * width;
    float top = 0;
    for (int column = threadIdx.x; column < width; column += blockDim.x) top = fmaxf(top, fabsf(w[column]));
    for (int apart = 16; apart; apart /= 2) top = fmaxf(top, __shfl_xor_sync(~0u, top, apart));
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = top;
    float scale = scales[row];
    __syncthreads();
    for (int warp = 0; warp < static_cast<int>(blockDim.x) / 32; ++warp) top = fmaxf(top, of_warp[warp]);
    // A row of nothing may have any scale.
    if (!(scale > 0)) scale = top > 0 ? top / kLargest : 1.f;
    // A largest that is not finite would double for ever, and one of 0 halve.
    for (int times = 0; times < 256 && top / scale > kLargest; ++times) scale *= 2;
    while (scale > 1e-30f && top > 0 && top / scale <= kLargest / 2) scale /= 2;
    if (threadIdx.x == 0) scales[row] = scale;
    uint32_t* out = reinterpret_cast<uint32_t*>(weight + static_cast<long long>(row) * width);
    const long long before = static_cast<long long>(first + row) * width / 4;
    for (int four = threadIdx.x; four < width / 4; four += blockDim.x) {
        const float4 v = reinterpret_cast<const float4*>(w)[four];
        const unsigned long long index = before + four;
        const Four random = philox(static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                                   static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32));
        out[four] = stochastic(v.x / scale, random.x[0]) | stochastic(v.y / scale, random.x[1]) << 8 |
                    stochastic(v.z / scale, random.x[2]) << 16 | stochastic(v.w / scale, random.x[3]) << 24;
    }
}

}  // extern "C"
