// Hopper's instructions in C++: see device.h.
#pragma once
#include <map>

#include "device.h"

// A tensor map of bf16 in the 128-byte swizzle with zero fill; sizes in elements, innermost first.
struct CUtensorMap {
    const uint16_t* data;
    int sizes[3], box[3];
};

struct HostBarrier {
    int expected = 0, left = 0;
    long bytes = 0;
    uint32_t phase = 0;
    void settle() {
        if (left == 0 && bytes == 0) {
            left = expected;
            phase ^= 1;
        }
    }
};
inline std::map<uint32_t, HostBarrier> host_barriers;

inline uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }
inline uint32_t swizzled(uint32_t address) { return address ^ ((address >> 7 & 7) << 4); }

inline void barrier_init(uint32_t barrier, int arrivals) { host_barriers[barrier] = {arrivals, arrivals}; }
inline void barrier_init_fence() {}
inline void barrier_arrive(uint32_t barrier) {
    host::block->idle = 0;
    HostBarrier& b = host_barriers.at(barrier);
    if (--b.left < 0) std::abort();
    b.settle();
}
inline void barrier_expect_bytes(uint32_t barrier, uint32_t bytes) {
    host_barriers.at(barrier).bytes += bytes;
    barrier_arrive(barrier);
}
inline void barrier_wait(uint32_t barrier, uint32_t phase) {
    while (host_barriers.at(barrier).phase == phase) host::yield();
}

inline void tensor_prefetch(const CUtensorMap*) {}
inline void prefetch(const void*) {}

inline void tensor_load(uint32_t to, const CUtensorMap* map, uint32_t barrier, int c0, int c1, int c2) {
    host::block->idle = 0;
    if (to % 1024) std::abort();
    const int start[3] = {c0, c1, c2};
    long bytes = 0;
    for (int z = 0; z < map->box[2]; ++z)
        for (int y = 0; y < map->box[1]; ++y)
            for (int x = 0; x < map->box[0]; ++x, bytes += 2) {
                const int at[3] = {start[0] + x, start[1] + y, start[2] + z};
                bool inside = true;
                for (int d = 0; d < 3; ++d) inside = inside && at[d] >= 0 && at[d] < map->sizes[d];
                const uint16_t value =
                    inside ? map->data[(static_cast<size_t>(at[2]) * map->sizes[1] + at[1]) * map->sizes[0] + at[0]]
                           : 0;
                std::memcpy(host::arena + swizzled(to + bytes), &value, 2);
            }
    HostBarrier& b = host_barriers.at(barrier);
    b.bytes -= bytes;
    b.settle();
}

// ---- products, run when they are waited for ----

struct HostProducts {
    std::vector<std::function<void()>> open;
    std::vector<std::vector<std::function<void()>>> committed;
};
inline std::map<host::Fiber*, HostProducts> host_products;

inline void wgmma_fence() {}
inline void wgmma_commit() {
    HostProducts& p = host_products[host::block->now];
    p.committed.push_back(std::move(p.open));
    p.open.clear();
}
template <int Pending>
void wgmma_wait() {
    HostProducts& p = host_products[host::block->now];
    for (int i = 0; i < 8; ++i) host::yield();  // others, the producer among them, get ahead
    while (p.committed.size() > Pending) {
        for (auto& run : p.committed.front()) run();
        p.committed.erase(p.committed.begin());
    }
    host::meet_warp();  // the wait is the warp's
}
template <int N>
void pin_registers(float (&)[N]) {}

inline uint64_t operand_descriptor(uint32_t address, uint32_t, uint32_t group_stride) {
    return static_cast<uint64_t>(group_stride >> 4) << 32 | (address & 0x3ffff) >> 4;
}
template <int Registers>
void registers_give() {}
template <int Registers>
void registers_take() {}

// A named barrier: those who wait and those who only arrive, so many in all.
inline std::map<int, host::Meeting> host_named;
inline void named_sync(int id, int threads) {
    host_named[id].expected = threads;
    host::meet(host_named[id]);
}
inline void named_arrive(int id, int threads) {
    host::block->idle = 0;
    host::Meeting& m = host_named[id];
    m.expected = threads;
    if (++m.arrived == threads) {
        m.arrived = 0;
        ++m.round;
    }
}
