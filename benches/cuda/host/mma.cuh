// Ampere's instructions in C++: see device.h.
#pragma once
#include <map>

#include "device.h"

struct HostCopy {
    uint32_t to;
    uint8_t bytes[16];
    int group;
};
struct HostCopies {
    std::vector<HostCopy> pending;
    int group = 0;
};
inline std::map<host::Fiber*, HostCopies> host_copies;

inline void copy_async(uint32_t to, const void* from, bool inside) {
    HostCopies& c = host_copies[host::block->now];
    HostCopy copy{to, {}, c.group};
    if (inside) std::memcpy(copy.bytes, from, 16);
    c.pending.push_back(copy);
    std::memset(host::arena + to, 0xff, 16);  // and gone is what was there
}

inline void copies_commit() { ++host_copies[host::block->now].group; }

template <int Pending>
void copies_wait() {
    HostCopies& c = host_copies[host::block->now];
    std::vector<HostCopy> left;
    for (const HostCopy& copy : c.pending) {
        if (copy.group < c.group - Pending)
            std::memcpy(host::arena + copy.to, copy.bytes, 16);
        else
            left.push_back(copy);
    }
    c.pending = left;
}

// Loads of matrices whose rows share banks: each costs another turn on the device.
inline long host_conflicts = 0;

// Lane l gives the address of row l % 8 of matrix l / 8.
inline void host_rows(uint32_t address) {
    const int lane = host::block->now->lane;
    if (address % 16) std::abort();
    host::words_of(lane)[0] = address;
    host::meet_warp();
    unsigned taken = 0;
    for (int row = 0; lane < 4 && row < 8; ++row) taken |= 1u << host::words_of(8 * lane + row)[0] / 16 % 8;
    if (lane < 4 && taken != 0xff) ++host_conflicts;
}

// Each lane l gets of each matrix row l / 4, columns 2 (l % 4) (+1).
inline void load_matrices(uint32_t (&r)[4], uint32_t address) {
    const int lane = host::block->now->lane;
    host_rows(address);
    for (int m = 0; m < 4; ++m)
        std::memcpy(&r[m], host::arena + host::words_of(8 * m + lane / 4)[0] + lane % 4 * 4, 4);
    host::meet_warp();
}

// … of each matrix column l / 4, rows 2 (l % 4) (+1).
inline void load_matrices_transposed(uint32_t (&r)[4], uint32_t address) {
    const int lane = host::block->now->lane;
    host_rows(address);
    for (int m = 0; m < 4; ++m)
        for (int i = 0; i < 2; ++i)
            std::memcpy(reinterpret_cast<uint8_t*>(&r[m]) + 2 * i,
                        host::arena + host::words_of(8 * m + lane % 4 * 2 + i)[0] + lane / 4 * 2, 2);
    host::meet_warp();
}

inline float host_half(uint32_t word, int i) { return __uint_as_float(i ? word & 0xffff0000u : word << 16); }

// A's lane l holds rows l / 4 (+8), columns 2 (l % 4) (+1) (+8); B's columns l / 4, rows like A's columns.
inline void multiply_add(float* d, const uint32_t* a, uint32_t b0, uint32_t b1) {
    const int lane = host::block->now->lane;
    uint32_t* mine = host::words_of(lane);
    std::memcpy(mine, a, 16);
    mine[4] = b0, mine[5] = b1;
    host::meet_warp();
    for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (int k = 0; k < 16; ++k) {
            const uint32_t left = host::words_of(row % 8 * 4 + k % 8 / 2)[row / 8 + k / 8 * 2];
            const uint32_t right = host::words_of(column * 4 + k % 8 / 2)[4 + k / 8];
            d[i] += host_half(left, k % 2) * host_half(right, k % 2);
        }
    }
    host::meet_warp();
}
