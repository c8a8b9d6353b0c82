// What the convolution kernels share: where an output pixel lies, and the way from accumulators to memory.
//
// A 3x3 convolution with a frame of zeros is nine taps a pixel. After doubling a picture by nearest neighbours it is,
// for each of the four parities of output row and column (the phase), a 2x2 convolution of the picture itself: an even
// row sees the rows (y-1; y, y) and an odd one (y, y; y+1), so the weights of the two equal rows are added beforehand.
// Tap (i, j) of phase (p, q) reads the input pixel (y + i + p - 1, x + j + q - 1), tap (i, j) of a plain convolution
// (y + i - 1, x + j - 1). The doubling so costs 4 * 4 products an input pixel instead of 4 * 9, and nothing is doubled
// in memory.
#pragma once
#include <cuda_bf16.h>

#include "fragments.cuh"

// The index of the output pixel that belongs to an input pixel, or -1 outside of the picture.
__device__ __forceinline__ int output_pixel(int y, int x, int height, int width, bool doubled, int phase) {
    if (y >= height || x >= width) return -1;
    return doubled ? (2 * y + phase / 2) * 2 * width + 2 * x + phase % 2 : y * width + x;
}

// `[pixels, channels]`, channels a multiple of 8. `residual` has the same shape, may be null and may be `out`.
struct Output {
    const float* bias;
    const __nv_bfloat16* residual;
    __nv_bfloat16* out;
    int channels;
};

// Accumulators plus bias plus residual as bf16, 16 bytes a thread. `acc[t]` is a tile of 16 rows, 2N columns from
// `column` on; `pixels[t]` are the output pixels of this thread's two rows of it. 2N is a multiple of 32.
template <int Tiles, int N>
__device__ __forceinline__ void write_pixels(const float (&acc)[Tiles][N], const Output& o,
                                             const int (&pixels)[Tiles][2], int column, int lane) {
    const int own = (lane & 3) * 8, pair = (lane & 3) * 2;
#pragma unroll
    for (int j = 0; j < N / 4; j += 4) {
        const int at = column + 8 * j + own;
        const bool mine = at < o.channels;
        uint4 residual[Tiles][2];
        if (o.residual) {
#pragma unroll
            for (int t = 0; t < Tiles; ++t)
#pragma unroll
                for (int r = 0; r < 2; ++r)
                    residual[t][r] = mine && pixels[t][r] >= 0
                                         ? *reinterpret_cast<const uint4*>(
                                               o.residual + static_cast<long long>(pixels[t][r]) * o.channels + at)
                                         : make_uint4(0, 0, 0, 0);
        }
        float2 bias[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int c = column + 8 * (j + i) + pair;
            bias[i] = c < o.channels ? *reinterpret_cast<const float2*>(o.bias + c) : make_float2(0.f, 0.f);
        }
#pragma unroll
        for (int t = 0; t < Tiles; ++t)
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                float2 sums[4];
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const float* from = acc[t] + 4 * (j + i) + 2 * r;
                    sums[i] = make_float2(from[0] + bias[i].x, from[1] + bias[i].y);
                }
                if (o.residual) {
                    const uint4 q = residual[t][r];
                    const uint4 turned = quad_transpose(q.x, q.y, q.z, q.w, lane);
                    const uint32_t words[4] = {turned.x, turned.y, turned.z, turned.w};
#pragma unroll
                    for (int i = 0; i < 4; ++i) {
                        sums[i].x += __uint_as_float(words[i] << 16);
                        sums[i].y += __uint_as_float(words[i] & 0xffff0000u);
                    }
                }
                const uint4 turned = quad_transpose(pack(sums[0].x, sums[0].y), pack(sums[1].x, sums[1].y),
                                                    pack(sums[2].x, sums[2].y), pack(sums[3].x, sums[3].y), lane);
                if (mine && pixels[t][r] >= 0)
                    *reinterpret_cast<uint4*>(o.out + static_cast<long long>(pixels[t][r]) * o.channels + at) = turned;
            }
    }
}
