// The warpgroup's product in C++: see device.h.
#pragma once
#include "hopper.cuh"

inline float host_operand(uint64_t descriptor, int row, int k) {
    const uint32_t start = (descriptor & 0x3fff) << 4, group = (descriptor >> 32 & 0x3fff) << 4;
    uint16_t half;
    std::memcpy(&half, host::arena + swizzled(start + row / 8 * group + row % 8 * 128 + k * 2), 2);
    return __uint_as_float(static_cast<uint32_t>(half) << 16);
}

template <int N>
struct Wgmma {
    static void shared_shared(float (&d)[N / 2], uint64_t a, uint64_t b, int accumulate) {
        const int thread = threadIdx.x % 128, first = thread / 32 * 16 + thread % 32 / 4, pair = thread % 4 * 2;
        host_products[host::block->now].open.push_back([=, to = &d[0]] {
            for (int i = 0; i < N / 2; ++i) {
                const int row = first + i / 2 % 2 * 8, column = i / 4 * 8 + pair + i % 2;
                float sum = accumulate ? to[i] : 0;
                for (int k = 0; k < 16; ++k) sum += host_operand(a, row, k) * host_operand(b, column, k);
                to[i] = sum;
            }
        });
    }
};
