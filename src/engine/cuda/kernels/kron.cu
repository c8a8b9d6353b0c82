// LoKr beside a layer: y += (W1 kron W2) x, never as one matrix. With x read as i1 rows of i2 values, that is W1 x W2':
//
//   kron_left_{bf16,fp8}   t = W1 x, for every row of x: [i1, i2] becomes [o1, i2]
//   add_rows               y += what the product with W2 gives, where rows of y have gaps
//
// and between them one product of all rows of all t with W2, [o2, i2], or with the pair that it is, by cublasLt.
//
// W1 comes first: it reads x as it lies, in fp8 with a scale a row too, which no product with bf16 could; x is read once for
// every eight rows of W1, t written once, 2 o1 i2 bytes. The other order would widen x for that much and more where x is
// wider than y. The sides of W1 are 4 to 16 in most files, at most 128: too few for tensor cores to be filled with. A
// thread makes 8 columns of 8 rows of t, 64 sums: at sides of 8 device memory bounds it, at 96 and 48 the sums do (1.4 G
// multiplications at 4608 rows, 50 us at 30 T/s).
#include "fp8.cuh"
#include "values.cuh"

namespace {

constexpr int kTile = 8;  // rows of W1 that a thread takes

struct FromBf16 {
    static __device__ __forceinline__ void eight(const bf16* from, float (&to)[kChunk]) { load8(from, to); }
};
struct FromFp8 {
    static __device__ __forceinline__ void eight(const uint8_t* from, float (&to)[kChunk]) {
        const uint2 words = *reinterpret_cast<const uint2*>(from);
        const uint32_t w[2] = {words.x, words.y};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const float2 x = from_fp8(w[i / 2] >> (i % 2 * 16) & 0xffff);
            to[2 * i] = x.x;
            to[2 * i + 1] = x.y;
        }
    }
};

template <class From, class Value>
__device__ __forceinline__ void kron_left(const Value* x, long long x_stride, const float* x_scales, const bf16* left,
                                          bf16* out, int rows, int out_rows, int in_rows, int width) {
    const int chunks = width / kChunk, padded = (out_rows + kTile - 1) / kTile * kTile;
    const long long at = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const long long row = at / chunks;
    const int column = static_cast<int>(at % chunks) * kChunk, first = blockIdx.y * kTile;
    if (row >= rows) return;
    const Value* from = x + row * x_stride + column;
    float sum[kTile][kChunk] = {};
    for (int in = 0; in < in_rows; ++in) {
        float value[kChunk], factor[kTile];
        From::eight(from + static_cast<long long>(in) * width, value);
        load8(left + in * padded + first, factor);
#pragma unroll
        for (int i = 0; i < kTile; ++i)
#pragma unroll
            for (int j = 0; j < kChunk; ++j) sum[i][j] = fmaf(factor[i], value[j], sum[i][j]);
    }
    const float scale = x_scales ? x_scales[row] : 1.f;
    bf16* to = out + (row * out_rows + first) * width + column;
#pragma unroll
    for (int i = 0; i < kTile; ++i) {
        if (first + i >= out_rows) break;
#pragma unroll
        for (int j = 0; j < kChunk; ++j) sum[i][j] *= scale;
        store8(to + static_cast<long long>(i) * width, sum[i]);
    }
}

}  // namespace

extern "C" {

// `left` is W1 turned, [in_rows, out_rows], its rows padded to a multiple of 8; x [rows, in_rows * width], out [rows *
// out_rows, width] without gaps, width a multiple of 8. Grid: (rows * width / 8 threads, out_rows / 8 rounded up).
__global__ void kron_left_bf16(const bf16* x, long long x_stride, const bf16* left, bf16* out, int rows, int out_rows,
                               int in_rows, int width) {
    kron_left<FromBf16>(x, x_stride, nullptr, left, out, rows, out_rows, in_rows, width);
}

__global__ void kron_left_fp8(const uint8_t* x, long long x_stride, const float* x_scales, const bf16* left, bf16* out,
                              int rows, int out_rows, int in_rows, int width) {
    kron_left<FromFp8>(x, x_stride, x_scales, left, out, rows, out_rows, in_rows, width);
}

// y [rows, width] += added, which has no gaps; width and y_stride are multiples of 8.
__global__ void add_rows(bf16* y, long long y_stride, const bf16* added, long long rows, int width) {
    const int chunks = width / kChunk;
    const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long at = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; at < rows * chunks; at += step) {
        bf16* to = y + at / chunks * y_stride + at % chunks * kChunk;
        float own[kChunk], more[kChunk];
        load8(to, own);
        load8(added + at * kChunk, more);
#pragma unroll
        for (int i = 0; i < kChunk; ++i) own[i] += more[i];
        store8(to, own);
    }
}

}  // extern "C"
