// Runs kernels on the CPU, one block after the other, to check their indices where there is no GPU: a fiber a thread,
// switched only where threads meet. The headers beside this one stand in for the kernels' own of the same names and do
// in C++ what their instructions do, as late as the instruction set allows: copies land when they are waited for,
// products run when they are waited for. So a missing wait or a stage given back too early shows as a wrong result,
// and a wait for something that never comes as an error.
#pragma once
#include <cuda_bf16.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#undef __device__
#undef __global__
#undef __shared__
#undef __forceinline__
#undef __launch_bounds__
#undef __grid_constant__
#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

namespace host {

constexpr int kWarp = 32;
constexpr size_t kStack = 256 * 1024, kArena = 256 * 1024;

struct Fiber {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(kStack);
    dim3 thread;
    bool done = false;
    int warp, lane;
};

// Where a number of threads meet.
struct Meeting {
    int expected = 0, arrived = 0, round = 0;
};

struct Block {
    std::vector<std::unique_ptr<Fiber>> fibers;
    std::vector<Meeting> warps;
    std::vector<uint32_t> exchange;  // 32 lanes of a warp, 8 words each
    Meeting all;
    ucontext_t scheduler;
    Fiber* now = nullptr;
    std::function<void()> body;
    long idle = 0;  // switches since anything happened
};

inline Block* block;
inline dim3 block_index, block_size, grid_size;
alignas(1024) inline uint8_t arena[kArena];  // shared memory; a shared address is an offset into it

inline void yield() {
    if (++block->idle > 200000000L) {
        std::fprintf(stderr, "the block waits for ever\n");
        std::abort();
    }
    swapcontext(&block->now->context, &block->scheduler);
}

inline void meet(Meeting& m) {
    block->idle = 0;
    const int round = m.round;
    if (++m.arrived == m.expected) {
        m.arrived = 0;
        ++m.round;
    }
    while (m.round == round) yield();
}

inline void meet_warp() { meet(block->warps[block->now->warp]); }

inline uint32_t* words_of(int lane) { return &block->exchange[(block->now->warp * kWarp + lane) * 8]; }

inline void enter() {
    block->body();
    block->now->done = true;
    --block->all.expected;  // as on the device, a thread that has left is not waited for
    if (block->all.expected && block->all.arrived == block->all.expected) {
        block->all.arrived = 0;
        ++block->all.round;
    }
    swapcontext(&block->now->context, &block->scheduler);
}

template <class F>
void launch(dim3 grid, dim3 size, F body) {
    const int threads = size.x * size.y;
    grid_size = grid;
    block_size = size;
    for (unsigned z = 0; z < grid.z; ++z)
        for (unsigned y = 0; y < grid.y; ++y)
            for (unsigned x = 0; x < grid.x; ++x) {
                Block b;
                block = &b;
                block_index = dim3(x, y, z);
                b.body = body;
                b.warps.assign((threads + kWarp - 1) / kWarp, {kWarp});
                b.exchange.assign(b.warps.size() * kWarp * 8, 0);
                b.all.expected = threads;
                std::memset(arena, 0xff, sizeof arena);
                for (int t = 0; t < threads; ++t) {
                    auto f = std::make_unique<Fiber>();
                    f->thread = dim3(t % size.x, t / size.x, 0);
                    f->warp = t / kWarp, f->lane = t % kWarp;
                    getcontext(&f->context);
                    f->context.uc_stack.ss_sp = f->stack.data();
                    f->context.uc_stack.ss_size = f->stack.size();
                    makecontext(&f->context, enter, 0);
                    b.fibers.push_back(std::move(f));
                }
                for (bool some = true; some;) {
                    some = false;
                    for (auto& f : b.fibers) {
                        if (f->done) continue;
                        some = true;
                        b.now = f.get();
                        swapcontext(&b.scheduler, &f->context);
                    }
                }
            }
}

}  // namespace host

#define threadIdx (host::block->now->thread)
#define blockIdx (host::block_index)
#define blockDim (host::block_size)
#define gridDim (host::grid_size)

inline void __syncthreads() { host::meet(host::block->all); }
inline size_t __cvta_generic_to_shared(const void* p) { return static_cast<const uint8_t*>(p) - host::arena; }

template <class T>
T host_shuffle(T value, int from) {
    static_assert(sizeof(T) <= 8, "");
    std::memcpy(host::words_of(host::block->now->lane), &value, sizeof value);
    host::meet_warp();
    std::memcpy(&value, host::words_of(from), sizeof value);
    host::meet_warp();
    return value;
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
    return host_shuffle(value, host::block->now->lane ^ mask);
}
template <class T>
T __shfl_sync(unsigned, T value, int from) {
    return host_shuffle(value, from);
}
inline float __uint_as_float(uint32_t x) {
    float y;
    std::memcpy(&y, &x, 4);
    return y;
}
inline uint32_t __float_as_uint(float x) {
    uint32_t y;
    std::memcpy(&y, &x, 4);
    return y;
}
inline unsigned __float2uint_rn(float x) { return static_cast<unsigned>(std::nearbyint(x)); }
// One rounding each: g++ fuses none of them for this machine's plain instruction set.
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline long long min(long long a, long long b) { return a < b ? a : b; }
