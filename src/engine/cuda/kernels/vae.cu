// The VAE decoder between its convolutions and products: bf16 activations, fp32 arithmetic.
//
//   group_norm_sums               sums and squares of each of 32 groups over a run of pixels
//   group_norm_affine             from those, what each channel is multiplied by and what is added
//   group_norm_{apply,silu}       x * scale + shift, with or without x * sigmoid(x) behind it
//   softmax_rows_{f32,bf16}       probabilities of a row of scores
//   latent_to_vae_{f32,bf16}      tokens to pixels, unscaled and shifted: a region of the picture
//   to_rgb8                       -1 .. 1 to bytes, and whether anything was not finite
//   add                           x += y
//   pack_conv                     fp32 weights [out, in, 3, 3] to [out, 9, in]
//   pack_doubled                  the same for a doubled picture: [4 phases, out, 4, in] (conv.cuh)
//
// Layouts. Pictures are [pixels, channels], dense, channels a multiple of 8 and of 32 groups, every row on 16 bytes.
//
// Group norms. A block has a run of pixels; thread t always the octet t % (channels / 8), so that a group norm's scale
// and shift stay in registers and sums need no shuffles; threads beyond the last whole pixel idle. The sums of a run go
// to `partials` [runs, 64]: 32 sums, 32 sums of squares; a second kernel adds the runs in their order, in double. So
// the result does not depend on timing. Bound by device memory: 2 bytes a value for the sums, 4 for the rest.
//
// Softmax. A block a row; up to 16 values a thread stay in registers, what is longer is read again. Bound by L2 or
// device memory: the scores of a chunk of rows come from the product before and fit in L2 when the chunk is small.
//
// Times: benches/PERFORMANCE.md.
#include <cuda_bf16.h>

#include <cmath>
#include <cstdint>

#include "values.cuh"

namespace {

constexpr int kGroups = 32;  // of every norm
constexpr int kUnroll = 4;   // pixels a thread has under way
constexpr int kLatent = 16;  // channels of a latent pixel

// x * sigmoid(x)
__device__ __forceinline__ float silu(float x) { return x * reciprocal_fast(1.f + exp2_fast(-kLog2e * x)); }

// ---- group norms ----

// A thread's share of a block's run of pixels: every `step`-th one, the same octet of channels in each.
struct Share {
    int octet, lane, step;  // `lane`: the first pixel, from the run's begin
    long long begin, end;
    __device__ Share(int pixels, int channels, int run) {
        const int octets = channels / kChunk;
        octet = threadIdx.x % octets;
        lane = threadIdx.x / octets;
        step = blockDim.x / octets;
        begin = static_cast<long long>(blockIdx.x) * run;
        end = min(begin + run, static_cast<long long>(pixels));
    }
    __device__ bool idle() const { return lane >= step; }

    // f(pixel, its octet), kUnroll loads at a time before their use.
    template <class F>
    __device__ __forceinline__ void each(const bf16* x, int channels, F f) const {
        x += octet * kChunk;
        long long pixel = begin + lane;
        for (; pixel + (kUnroll - 1) * step < end; pixel += kUnroll * step) {
            uint4 words[kUnroll];
#pragma unroll
            for (int i = 0; i < kUnroll; ++i)
                words[i] = *reinterpret_cast<const uint4*>(x + (pixel + i * step) * channels);
#pragma unroll
            for (int i = 0; i < kUnroll; ++i) f(pixel + i * step, words[i]);
        }
        for (; pixel < end; pixel += step) f(pixel, *reinterpret_cast<const uint4*>(x + pixel * channels));
    }
};

template <bool Silu>
__device__ __forceinline__ void group_norm(const bf16* x, const float2* affine, bf16* out, int pixels, int channels,
                                           int run) {
    const Share share(pixels, channels, run);
    if (share.idle()) return;
    float scale[kChunk], shift[kChunk];
#pragma unroll
    for (int i = 0; i < kChunk; i += 2) {
        const float4 pair = *reinterpret_cast<const float4*>(affine + share.octet * kChunk + i);
        scale[i] = pair.x, shift[i] = pair.y, scale[i + 1] = pair.z, shift[i + 1] = pair.w;
    }
    share.each(x, channels, [&](long long pixel, const uint4& words) {
        float v[kChunk];
        unpack(words, v);
#pragma unroll
        for (int i = 0; i < kChunk; ++i) {
            v[i] = fmaf(v[i], scale[i], shift[i]);
            if constexpr (Silu) v[i] = silu(v[i]);
        }
        *reinterpret_cast<uint4*>(out + pixel * channels + share.octet * kChunk) = pack(v);
    });
}

// ---- sums and maxima over a block ----

template <class T, class F>
__device__ __forceinline__ T warp_reduce(T v, F f) {
#pragma unroll
    for (int step = 16; step; step /= 2) v = f(v, __shfl_xor_sync(~0u, v, step));
    return v;
}

// The same value in every thread; the number of threads is a multiple of 32.
template <class T, class F>
__device__ __forceinline__ T block_reduce(T v, T neutral, F f) {
    __shared__ T of_warp[32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    v = warp_reduce(v, f);
    __syncthreads();  // an earlier call's values have been read
    if (lane == 0) of_warp[warp] = v;
    __syncthreads();
    return warp_reduce(lane < blockDim.x / 32 ? of_warp[lane] : neutral, f);
}

// ---- softmax ----

__device__ __forceinline__ float4 load4(const float* from) { return *reinterpret_cast<const float4*>(from); }
__device__ __forceinline__ float4 load4(const bf16* from) {
    const uint2 w = *reinterpret_cast<const uint2*>(from);
    return make_float4(__uint_as_float(w.x << 16), __uint_as_float(w.x & 0xffff0000u), __uint_as_float(w.y << 16),
                       __uint_as_float(w.y & 0xffff0000u));
}

template <class T>
__device__ __forceinline__ void softmax(const T* scores, long long scores_stride, bf16* out, long long out_stride,
                                        int n, float scale_log2) {
    constexpr int kKept = 4;  // of 4 values
    scores += blockIdx.x * scores_stride;
    out += blockIdx.x * out_stride;
    const int step = blockDim.x * 4, first = threadIdx.x * 4, rest = first + kKept * step;
    float4 kept[kKept];
    float top = -INFINITY;
    const auto larger = [](float a, float b) { return fmaxf(a, b); };
    const auto take = [&](const float4& v) { top = fmaxf(fmaxf(top, fmaxf(v.x, v.y)), fmaxf(v.z, v.w)); };
#pragma unroll
    for (int i = 0; i < kKept; ++i)
        kept[i] = first + i * step < n ? load4(scores + first + i * step)
                                       : make_float4(-INFINITY, -INFINITY, -INFINITY, -INFINITY);
#pragma unroll
    for (int i = 0; i < kKept; ++i) take(kept[i]);
    for (int at = rest; at < n; at += step) take(load4(scores + at));
    top = block_reduce(top, -INFINITY, larger);

    const float offset = top * scale_log2;
    float sum = 0;
    const auto power = [&](float4 v) {
        v.x = exp2_fast(fmaf(v.x, scale_log2, -offset)), v.y = exp2_fast(fmaf(v.y, scale_log2, -offset));
        v.z = exp2_fast(fmaf(v.z, scale_log2, -offset)), v.w = exp2_fast(fmaf(v.w, scale_log2, -offset));
        return v;
    };
#pragma unroll
    for (int i = 0; i < kKept; ++i) {
        kept[i] = power(kept[i]);
        sum += kept[i].x + kept[i].y + kept[i].z + kept[i].w;
    }
    for (int at = rest; at < n; at += step) {
        const float4 v = power(load4(scores + at));
        sum += v.x + v.y + v.z + v.w;
    }
    sum = block_reduce(sum, 0.f, [](float a, float b) { return a + b; });

    const float factor = 1.f / sum;
    const auto store = [&](int at, const float4& v) {
        *reinterpret_cast<uint2*>(out + at) =
            make_uint2(pack(v.x * factor, v.y * factor), pack(v.z * factor, v.w * factor));
    };
#pragma unroll
    for (int i = 0; i < kKept; ++i)
        if (first + i * step < n) store(first + i * step, kept[i]);
    for (int at = rest; at < n; at += step) store(at, power(load4(scores + at)));
}

// ---- ends ----

// A thread a latent pixel of the region.
template <class T>
__device__ __forceinline__ void latent_to_vae(const T* tokens, int columns, int top, int left, int height, int width,
                                              float factor, float shift, bf16* out) {
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= height * width) return;
    const int y = top + at / width, x = left + at % width;
    tokens += (static_cast<long long>(y / 2) * columns + x / 2) * (4 * kLatent) + y % 2 * 2 + x % 2;
    float v[2][kChunk];
#pragma unroll
    for (int c = 0; c < kLatent; ++c) v[c / kChunk][c % kChunk] = fmaf(static_cast<float>(tokens[4 * c]), factor, shift);
    uint4* to = reinterpret_cast<uint4*>(out + static_cast<long long>(at) * kLatent);
    to[0] = pack(v[0]);
    to[1] = pack(v[1]);
}

}  // namespace

extern "C" {

// Grid: pixels / run, rounded up. Threads: a multiple of 32, at most 256, at least channels / 8 and 64. Shared memory:
// threads * 64 bytes.
__global__ void group_norm_sums(const bf16* x, float* partials, int pixels, int channels, int run) {
    extern __shared__ float shared[];  // sums [lanes, channels], squares [lanes, channels]
    const Share share(pixels, channels, run);
    float* const all_squares = shared + share.step * channels;
    if (!share.idle()) {
        float sums[kChunk] = {}, squares[kChunk] = {};
        share.each(x, channels, [&](long long, const uint4& words) {
            float v[kChunk];
            unpack(words, v);
#pragma unroll
            for (int i = 0; i < kChunk; ++i) {
                sums[i] += v[i];
                squares[i] = fmaf(v[i], v[i], squares[i]);
            }
        });
        const int at = share.lane * channels + share.octet * kChunk;
#pragma unroll
        for (int i = 0; i < kChunk; ++i) {
            shared[at + i] = sums[i];
            all_squares[at + i] = squares[i];
        }
    }
    __syncthreads();
    if (threadIdx.x >= 2 * kGroups) return;
    const int group = threadIdx.x % kGroups, each = channels / kGroups;
    const float* from = (threadIdx.x < kGroups ? shared : all_squares) + group * each;
    float sum = 0;
    for (int lane = 0; lane < share.step; ++lane)
        for (int i = 0; i < each; ++i) sum += from[lane * channels + i];
    partials[static_cast<long long>(blockIdx.x) * 2 * kGroups + threadIdx.x] = sum;
}

// Grid: the 32 groups. Threads: 128. `affine` is [channels] of (scale, shift).
__global__ void group_norm_affine(const float* partials, int runs, const float* weight, const float* bias,
                                  float2* affine, int pixels, int channels, float epsilon) {
    const int group = blockIdx.x, each = channels / kGroups;
    double sum = 0, squares = 0;
    for (int run = threadIdx.x; run < runs; run += blockDim.x) {
        sum += partials[static_cast<long long>(run) * 2 * kGroups + group];
        squares += partials[static_cast<long long>(run) * 2 * kGroups + kGroups + group];
    }
    const auto add = [](double a, double b) { return a + b; };
    sum = block_reduce(sum, 0., add);
    squares = block_reduce(squares, 0., add);
    const double count = static_cast<double>(pixels) * each, mean = sum / count;
    const double variance = fmax(squares / count - mean * mean, 0.);
    const float factor = static_cast<float>(1. / sqrt(variance + epsilon));
    for (int i = threadIdx.x; i < each; i += blockDim.x) {
        const int channel = group * each + i;
        const float scale = weight[channel] * factor;
        affine[channel] = make_float2(scale, bias[channel] - static_cast<float>(mean) * scale);
    }
}

// Grid: pixels / run, rounded up. Threads: at least channels / 8; a multiple of it uses every one. `out` may be x.
__global__ void group_norm_apply(const bf16* x, const float2* affine, bf16* out, int pixels, int channels, int run) {
    group_norm<false>(x, affine, out, pixels, channels, run);
}

__global__ void group_norm_silu(const bf16* x, const float2* affine, bf16* out, int pixels, int channels, int run) {
    group_norm<true>(x, affine, out, pixels, channels, run);
}

// Grid: rows. Threads: a multiple of 32, at most 1024; n / 16 of them read each score once. n is a multiple of 4, and
// so are the strides. `scale_log2` is the scores' scale times log2(e), positive. `out` may be the bf16 scores.
__global__ void softmax_rows_f32(const float* scores, long long scores_stride, bf16* out, long long out_stride, int n,
                                 float scale_log2) {
    softmax(scores, scores_stride, out, out_stride, n, scale_log2);
}

__global__ void softmax_rows_bf16(const bf16* scores, long long scores_stride, bf16* out, long long out_stride, int n,
                                  float scale_log2) {
    softmax(scores, scores_stride, out, out_stride, n, scale_log2);
}

// `tokens` is the whole picture's, [.., columns, 64], a token's channels being (channel, row, column in its 2x2 patch);
// out is the region's [height, width, 16] = tokens * factor + shift, its corner at latent pixel (top, left). Grid and
// threads: a thread a pixel.
__global__ void latent_to_vae_f32(const float* tokens, int columns, int top, int left, int height, int width,
                                  float factor, float shift, bf16* out) {
    latent_to_vae(tokens, columns, top, left, height, width, factor, shift, out);
}

__global__ void latent_to_vae_bf16(const bf16* tokens, int columns, int top, int left, int height, int width,
                                   float factor, float shift, bf16* out) {
    latent_to_vae(tokens, columns, top, left, height, width, factor, shift, out);
}

// `count` values, a multiple of 4, a thread four of them. `not_finite` becomes 1 where a value is neither, and is left
// alone otherwise.
__global__ void to_rgb8(const float* x, uint8_t* out, int* not_finite, int count) {
    const int at = (blockIdx.x * blockDim.x + threadIdx.x) * 4;
    if (at >= count) return;
    const float4 four = *reinterpret_cast<const float4*>(x + at);
    const float v[4] = {four.x, four.y, four.z, four.w};
    uint32_t bytes = 0;
    bool finite = true;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        finite = finite && fabsf(v[i]) < INFINITY;
        const float unit = fminf(fmaxf(fmaf(v[i], 0.5f, 0.5f), 0.f), 1.f);
        bytes |= static_cast<uint32_t>(floorf(fmaf(unit, 255.f, 0.5f))) << (8 * i);
    }
    *reinterpret_cast<uint32_t*>(out + at) = bytes;
    if (!finite) *not_finite = 1;
}

// `count` values, a multiple of 8, a thread eight of them.
__global__ void add(bf16* x, const bf16* y, long long count) {
    const long long at = (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x) * kChunk;
    if (at >= count) return;
    float a[kChunk], b[kChunk];
    unpack(*reinterpret_cast<const uint4*>(x + at), a);
    unpack(*reinterpret_cast<const uint4*>(y + at), b);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) a[i] += b[i];
    *reinterpret_cast<uint4*>(x + at) = pack(a);
}

// A thread a weight of the result, [out, 9, in].
__global__ void pack_conv(const float* weight, bf16* packed, int out, int in) {
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= out * 9 * in) return;
    const int c = at % in, tap = at / in % 9, o = at / in / 9;
    packed[at] = __float2bfloat16_rn(weight[(o * in + c) * 9 + tap]);
}

// A thread a weight of the result, [4 phases, out, 4, in]. In an even row (phase / 2 = 0) the first tap is the kernel's
// first row and the second its other two, in an odd one the first tap is the first two.
__global__ void pack_doubled(const float* weight, bf16* packed, int out, int in) {
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= 16 * out * in) return;
    const int c = at % in, tap = at / in % 4, o = at / in / 4 % out, phase = at / in / 4 / out;
    const auto begin = [](int odd, int second) { return second ? 1 + odd : 0; };
    const auto end = [](int odd, int second) { return second ? 3 : 1 + odd; };
    const float* from = weight + (o * in + c) * 9;
    float sum = 0;
    for (int i = begin(phase / 2, tap / 2); i < end(phase / 2, tap / 2); ++i)
        for (int j = begin(phase % 2, tap % 2); j < end(phase % 2, tap % 2); ++j) sum += from[i * 3 + j];
    packed[at] = __float2bfloat16_rn(sum);
}

}  // extern "C"
