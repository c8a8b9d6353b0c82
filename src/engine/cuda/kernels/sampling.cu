// What a picture needs around the transformer's blocks: the sampler's step, the sum of the embeddings, scales and bias
// where the product could not apply them, and random weights to measure with.
//
//   euler_step           latent += (next - sigma) * velocity, the estimate at sigma = 0, and the next input in bf16
//   embedding_sum_silu   silu(time + guidance + text), one row a step
//   scale_rows           out = sums * row scale * column scale + bias, after an fp8 product without scales
//   idle                 nothing, for so many nanoseconds: a slower card's computation, to measure what hides behind it
//   random_bf16/_fp8     standard normal values times `deviation`, the same for one seed on every card
//
// All elementwise and bound by device memory; none is on the hot path but scale_rows on cards whose cublasLt has no
// scales a row (8.9, 12.0), where it costs 4MN bytes a product.
#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include <cstdint>

namespace {

using bf16 = __nv_bfloat16;

__device__ __forceinline__ long long start() { return static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ __forceinline__ long long step() { return static_cast<long long>(gridDim.x) * blockDim.x; }

// Mixes 64 bits (the finaliser of splitmix64, Steele, Lea and Flood 2014).
__device__ __forceinline__ uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

// Value `index` of the stream `seed`, standard normal (Box and Muller 1958).
__device__ __forceinline__ float normal(uint64_t seed, uint64_t index) {
    const uint64_t bits = mix(seed ^ mix(index));
    const float u = (static_cast<uint32_t>(bits) >> 8) * 0x1p-24f + 0x1p-25f;
    const float v = static_cast<uint32_t>(bits >> 40) * 0x1p-24f;
    return sqrtf(-2.f * __logf(u)) * __cosf(6.2831853f * v);
}

}  // namespace

extern "C" {

// latent, estimate: fp32; velocity, input: bf16; all `count` values without gaps.
__global__ void euler_step(float* latent, const bf16* velocity, float sigma, float next, float* estimate, bf16* input,
                           long long count) {
    for (long long i = start(); i < count; i += step()) {
        const float x = latent[i], v = __bfloat162float(velocity[i]);
        const float moved = x + (next - sigma) * v;
        estimate[i] = x - sigma * v;
        latent[i] = moved;
        input[i] = __float2bfloat16_rn(moved);
    }
}

// time, out: [rows, width]; guidance (may be null), text: [width].
__global__ void embedding_sum_silu(const bf16* time, const bf16* guidance, const bf16* text, bf16* out, int rows,
                                   int width) {
    const long long count = static_cast<long long>(rows) * width;
    for (long long i = start(); i < count; i += step()) {
        const int column = static_cast<int>(i % width);
        float x = __bfloat162float(time[i]) + __bfloat162float(text[column]);
        if (guidance) x += __bfloat162float(guidance[column]);
        out[i] = __float2bfloat16_rn(x / (1.f + __expf(-x)));
    }
}

// out: [rows, width], in place; row_scales and bias may be null.
__global__ void scale_rows(bf16* out, long long out_stride, const float* row_scales, const float* column_scales,
                           const bf16* bias, int rows, int width) {
    const int row = blockIdx.x;
    if (row >= rows) return;
    const float scale = row_scales ? row_scales[row] : 1.f;
    for (int column = threadIdx.x; column < width; column += blockDim.x) {
        bf16* at = out + row * out_stride + column;
        const float x = __bfloat162float(*at) * scale * column_scales[column];
        *at = __float2bfloat16_rn(bias ? x + __bfloat162float(bias[column]) : x);
    }
}

__global__ void fill_f32(float* out, float value, long long count) {
    for (long long i = start(); i < count; i += step()) out[i] = value;
}

__global__ void idle(long long nanoseconds) {
    unsigned long long begun, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(begun));
    do {
        __nanosleep(1000);
        asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    } while (now - begun < static_cast<unsigned long long>(nanoseconds));
}

__global__ void random_bf16(bf16* out, unsigned long long seed, float mean, float deviation, long long count) {
    for (long long i = start(); i < count; i += step()) out[i] = __float2bfloat16_rn(mean + deviation * normal(seed, i));
}

__global__ void random_fp8(uint8_t* out, unsigned long long seed, float deviation, long long count) {
    for (long long i = start(); i < count; i += step())
        out[i] = __nv_cvt_float_to_fp8(deviation * normal(seed, i), __NV_SATFINITE, __NV_E4M3);
}

}  // extern "C"
