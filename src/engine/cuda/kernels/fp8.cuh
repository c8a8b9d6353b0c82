// e4m3 from and to fp32, two at a time. Cards before 8.9 have no instruction: there it is done in the bits.
#pragma once
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>

constexpr float kLargest = 448.f;

// Two values to e4m3, nearest even, beyond 448 to 448; the first in the low byte. Cards before 8.9 have no instruction.
__device__ __forceinline__ uint32_t to_fp8(float low, float high) {
#if __CUDA_ARCH__ >= 890
    return __nv_cvt_float2_to_fp8x2(make_float2(low, high), __NV_SATFINITE, __NV_E4M3);
#else
    const auto one = [](float x) {
        const float magnitude = fminf(fabsf(x), kLargest);
        const uint32_t bits = __float_as_uint(magnitude);
        const uint32_t normal = ((bits + 0x7ffff + (bits >> 20 & 1)) >> 20) - ((127 - 7) << 3);
        const uint32_t tiny = __float2uint_rn(magnitude * 512.f);  // under 2^-6 steps are 2^-9; 8 is the first normal
        return (magnitude < 0.015625f ? tiny : normal) | (__float_as_uint(x) >> 24 & 0x80);
    };
    return one(low) | one(high) << 8;
#endif
}

// The two e4m3 values of a 16-bit word.
__device__ __forceinline__ float2 from_fp8(uint32_t word) {
#if __CUDA_ARCH__ >= 890
    return __half22float2(__half2(__nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(word), __NV_E4M3)));
#else
    // As the top bits of a half the value is 2^8 too small: the exponents' biases are 7 and 15.
    const uint32_t apart = (word & 0xff) | (word & 0xff00) << 8;
    const uint32_t bits = (apart & 0x00800080) << 8 | (apart & 0x007f007f) << 7;
    const float2 x = __half22float2(*reinterpret_cast<const __half2*>(&bits));
    return make_float2(x.x * 256.f, x.y * 256.f);
#endif
}
