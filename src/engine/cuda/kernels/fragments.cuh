// From accumulators to memory and back, for mma.sync and wgmma alike: both leave a tile the same way. A quad of threads
// holds a row; thread t of a warp has rows t/4 and t/4 + 8 and of each octet of columns the pair 2*(t%4), 2*(t%4) + 1.
#pragma once
#include <cuda_bf16.h>

#include <cstdint>

__device__ __forceinline__ uint32_t pack(float low, float high) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&pair);
}

// Turns the quad's 4 x 4 words (one word of each of four column groups a thread) so that each thread holds one group's
// 16 bytes in order.
__device__ __forceinline__ uint4 quad_transpose(uint32_t w0, uint32_t w1, uint32_t w2, uint32_t w3, int lane) {
    const bool odd = lane & 1, high = lane & 2;
    uint32_t a = __shfl_xor_sync(~0u, odd ? w0 : w1, 1), b = __shfl_xor_sync(~0u, odd ? w2 : w3, 1);
    if (odd) {
        w0 = a;
        w2 = b;
    } else {
        w1 = a;
        w3 = b;
    }
    a = __shfl_xor_sync(~0u, high ? w0 : w2, 2), b = __shfl_xor_sync(~0u, high ? w1 : w3, 2);
    if (high) {
        w0 = a;
        w1 = b;
    } else {
        w2 = a;
        w3 = b;
    }
    return make_uint4(w0, w1, w2, w3);
}
