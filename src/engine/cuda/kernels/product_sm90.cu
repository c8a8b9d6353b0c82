// A linear layer in fp8 with what LoRAs add, for Hopper:
//
//   product_sm90   out = (x · wᵀ) * scale of x's row * scale of w's row + t · bᵀ + bias
//
// x is [rows, inner] and w [columns, inner], both e4m3 with fp32 scales a row; t = x · Aᵀ is [rows, all ranks] and b
// [columns, ranks], both bf16; bias and out bf16. Inner is a multiple of 16, columns of 8. Several b of the same number of
// ranks lie below each other: columns until ends[i] meet t from column firsts[i] on, and ends are multiples of 192.
//
// Why: y of FLUX.1's widest layer has 198 MB at 1024². A library's product adds t · bᵀ by reading what another product
// wrote: 3 of 4 bytes that a LoRA moves. Here the ranks are more columns of inner, in bf16, for the same sums. So t and b
// have to be in the units of x and w: their rows are divided by those scales in shared memory, by warps that have nothing
// else to do. What is added costs 16 / inner (with two for bf16) of the product, 1 % for rank 16.
//
// Tiling. A tile is 128 rows and 192 columns; each of two consumer warpgroups has 64 of the rows, as wgmma tiles of
// 64 x 192, and one producer thread streams 128 bytes of inner at a time: 16 KB of x and 24 KB of w, in four stages of the
// 128-byte swizzle. Two blocks are a cluster and have the same columns: each brings half of w's rows into both, so that 36
// bytes a multiprocessor and clock come from L2 at full rate, not 53. A block may therefore only write over a stage that the
// other has left as well. Ranks come 16 at a time, to a place of their own (rows of 32 bytes, 32-byte swizzle): another
// thread brings them, since what is to be divided needs more time than stages are ahead; they are multiplied somewhere in
// the middle of a tile, more than 16 in turns.
//
// All blocks end their tiles at about the same time, and what they write then is as much as device memory takes in an eighth
// of a tile's time (3072 of inner). So results are laid into shared memory, 24 KB a warpgroup, and the copy engine writes
// them while the next tile is computed. And since that takes 2,000 clocks, where the products of a tile take 18,500, each
// warpgroup has two sets of sums: while one is scaled and written, the tensor cores are on the other.
//
// Grid: one block a multiprocessor, an even number; a cluster takes every so many-th pair of tiles, rows innermost: what
// runs at one time shares a few columns of w, and x stays in L2. 384 threads (168 registers at launch, 240 a consumer, 192
// of them sums). Shared memory: 1024 + 4 * 40960 + 49152 + 10240 + 2 * 1664 + 104 bytes.
//
// Bound by the tensor cores, 4096 products a multiprocessor and clock. Times: benches/PERFORMANCE.md.
#include <cuda_bf16.h>

#include "hopper.cuh"
#include "wgmma_wide.cuh"

namespace {

constexpr int kGroups = 2;  // consumer warpgroups
constexpr int kThreads = 128 * (kGroups + 1);
constexpr int kBlocks = 2;  // of a cluster
constexpr int kRows = 64 * kGroups, kColumns = 192;
constexpr int kSums = kColumns / 2;  // of a thread
constexpr int kRowBytes = 128;  // of inner
constexpr int kRanks = 16, kRanksRowBytes = kRanks * 2;  // at a time
constexpr int kRanksLeftBytes = kRows * kRanksRowBytes, kRanksRightBytes = kColumns * kRanksRowBytes;
constexpr int kLeftBytes = kRows * kRowBytes, kRightBytes = kColumns * kRowBytes;
constexpr int kStages = 4, kStageBytes = kLeftBytes + kRightBytes;
constexpr int kPanel = 64, kPanelBytes = 64 * kPanel * 2;  // columns of results that are written at a time, rows of 128 bytes
constexpr int kPanels = kColumns / kPanel;
constexpr int kProducerRegisters = 24, kConsumerRegisters = 240;
constexpr int kHelpers = 96;  // threads that bring t and b, and divide them
constexpr int kHelpersBarrier = 1, kResultsBarrier = 2;  // named; the second is one for each warpgroup
// What a tile's results are made with: scales of its columns and their biases, scales of its rows.
constexpr int kBiasAt = kColumns * 4, kRowScalesAt = kBiasAt + kColumns * 2, kFactorsBytes = kRowScalesAt + kRows * 4;
constexpr int kParts = 4;

struct Side {
    int ranks;                         // of one b
    int ends[kParts], firsts[kParts];  // columns until ends[i] meet t from firsts[i] on
};

struct Problem {
    int rows, columns, inner;
    Side side;
};

// Addresses in shared memory: stages and results on swizzle boundaries, then the factors of two tiles, then barriers.
struct Shared {
    uint32_t base;
    __device__ uint32_t left(int stage) const { return base + stage * kStageBytes; }
    __device__ uint32_t right(int stage) const { return left(stage) + kLeftBytes; }
    __device__ uint32_t results(int group) const { return left(kStages) + group * kPanels * kPanelBytes; }
    __device__ uint32_t ranks_left() const { return results(kGroups); }
    __device__ uint32_t ranks_right() const { return ranks_left() + kRanksLeftBytes; }
    __device__ uint32_t factors(int parity) const { return ranks_right() + kRanksRightBytes + parity * kFactorsBytes; }
    __device__ uint32_t full(int stage) const { return factors(2) + 8 * stage; }
    __device__ uint32_t empty(int stage) const { return full(kStages + stage); }
    __device__ uint32_t factors_empty(int parity) const { return full(2 * kStages + parity); }
    __device__ uint32_t ranks_landed() const { return factors_empty(2); }
    __device__ uint32_t ranks_full() const { return factors_empty(3); }
    __device__ uint32_t ranks_empty() const { return factors_empty(4); }
};

struct Cursor {
    int stage = 0;
    uint32_t phase = 0;
    __device__ void advance() {
        if (++stage == kStages) {
            stage = 0;
            phase ^= 1;
        }
    }
};

// The tiles of this block; a cluster's have the same columns.
struct Tiles {
    int pairs, count;
    __device__ explicit Tiles(const Problem& p)
        : pairs((p.rows + kBlocks * kRows - 1) / (kBlocks * kRows)), count(pairs * ((p.columns + kColumns - 1) / kColumns)) {}
    __device__ static int first() { return blockIdx.x / kBlocks; }
    __device__ static int step() { return gridDim.x / kBlocks; }
    __device__ int row(int tile) const { return (tile % pairs * kBlocks + static_cast<int>(cluster_rank())) * kRows; }
    __device__ int column(int tile) const { return tile / pairs * kColumns; }
};

__device__ __forceinline__ int first_rank(const Side& side, int column) {
    int first = side.firsts[0];
#pragma unroll
    for (int part = 1; part < kParts; ++part)
        if (column >= side.ends[part - 1]) first = side.firsts[part];
    return first;
}

struct Operands {
    const CUtensorMap *x, *weight, *t, *b;
    const float *x_scales, *weight_scales;
    const __nv_bfloat16* bias;
};

// A block's share of the rows that both blocks of a cluster read.
__device__ __forceinline__ int share() { return cluster_rank() * (kColumns / kBlocks); }
constexpr uint16_t kBoth = (1 << kBlocks) - 1;

// One thread that keeps the copy engine busy.
struct Producer {
    const Shared& shared;
    const Problem& p;
    const Operands& from;
    Cursor at;

    __device__ uint32_t expect(int bytes) {
        barrier_wait(shared.empty(at.stage), at.phase ^ 1);
        barrier_expect_bytes(shared.full(at.stage), bytes);
        return shared.full(at.stage);
    }

    __device__ void bring(int inner, int row, int column, uint32_t full) {
        tensor_load(shared.left(at.stage), from.x, full, inner, row);
        tensor_load_shared(shared.right(at.stage) + share() * kRowBytes, from.weight, full, inner, column + share(), kBoth);
        at.advance();
    }

    // Along with a tile's first stage. Of the last rows a whole 16 bytes are read.
    __device__ void bring_first(int row, int column, int parity, uint32_t phase) {
        const int columns = min(kColumns, p.columns - column), rows = (max(min(kRows, p.rows - row), 0) + 3) / 4 * 4;
        barrier_wait(shared.factors_empty(parity), phase ^ 1);
        const uint32_t full = expect(kStageBytes + columns * 6 + rows * 4), to = shared.factors(parity);
        bulk_load(to, from.weight_scales + column, columns * 4, full);
        bulk_load(to + kBiasAt, from.bias + column, columns * 2, full);
        if (rows > 0) bulk_load(to + kRowScalesAt, from.x_scales + row, rows * 4, full);
        bring(0, row, column, full);
    }

    __device__ void run() {
        const Tiles tiles(p);
        int parity = 0;
        uint32_t phase = 0;
        for (int tile = Tiles::first(); tile < tiles.count; tile += Tiles::step()) {
            const int row = tiles.row(tile), column = tiles.column(tile);
            bring_first(row, column, parity, phase);
            phase ^= parity;
            parity ^= 1;
            for (int inner = kRowBytes; inner < p.inner; inner += kRowBytes) bring(inner, row, column, expect(kStageBytes));
        }
    }
};

// A row of zeros may have no scale: it counts as 1, so that its sums keep what is added to them.
__device__ __forceinline__ float unit(float scale) { return scale == 0 ? 1 : scale; }

// A scale near nothing is no reason for an overflow.
__device__ __forceinline__ float inverse(float scale) { return fminf(1 / unit(scale), 0x1p100f); }

// Brings t and b, and divides their rows by the scales of x's and w's.
struct Helper {
    const Shared& shared;
    const Problem& p;
    const Operands& from;
    int thread;

    __device__ static uint32_t times(uint32_t both, float factor) {
        const __nv_bfloat162 product = __floats2bfloat162_rn(__uint_as_float(both << 16) * factor,
                                                             __uint_as_float(both & 0xffff0000) * factor);
        return *reinterpret_cast<const uint32_t*>(&product);
    }

    // A row of ranks, wherever the swizzle has them within it.
    __device__ static void divide(uint32_t row, float scale) {
        const float factor = inverse(scale);
#pragma unroll
        for (uint32_t place = row; place < row + kRanksRowBytes; place += 16) {
            uint32_t a, b, c, d;
            asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];" : "=r"(a), "=r"(b), "=r"(c), "=r"(d) : "r"(place));
            asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(place), "r"(times(a, factor)),
                         "r"(times(b, factor)), "r"(times(c, factor)), "r"(times(d, factor))
                         : "memory");
        }
    }

    __device__ void divide(int row, int column) {
        for (int at = thread; at < min(kRows, p.rows - row); at += kHelpers)
            divide(shared.ranks_left() + at * kRanksRowBytes, from.x_scales[row + at]);
        for (int at = thread; at < min(kColumns, p.columns - column); at += kHelpers)
            divide(shared.ranks_right() + at * kRanksRowBytes, from.weight_scales[column + at]);
    }

    __device__ void bring(int row, int column, int rank, uint32_t phase) {
        const uint32_t landed = shared.ranks_landed();
        barrier_wait(shared.ranks_empty(), phase ^ 1);
        barrier_expect_bytes(landed, kRanksLeftBytes + kRanksRightBytes);
        tensor_load(shared.ranks_left(), from.t, landed, first_rank(p.side, column) + rank, row);
        tensor_load_shared(shared.ranks_right() + share() * kRanksRowBytes, from.b, landed, rank, column + share(), kBoth);
    }

    __device__ void run() {
        const Tiles tiles(p);
        uint32_t phase = 0;
        for (int tile = Tiles::first(); tile < tiles.count; tile += Tiles::step()) {
            const int row = tiles.row(tile), column = tiles.column(tile);
            for (int rank = 0; rank < p.side.ranks; rank += kRanks) {
                if (thread == 0) bring(row, column, rank, phase);
                barrier_wait(shared.ranks_landed(), phase);
                divide(row, column);
                copy_engine_fence();
                named_sync(kHelpersBarrier, kHelpers);
                if (thread == 0) barrier_arrive(shared.ranks_full());
                phase ^= 1;
            }
        }
    }
};

__device__ __forceinline__ uint32_t pack(float low, float high) {
    const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&both);
}

using Sums = float[kSums];

template <int Value> struct Step {
    static constexpr int value = Value;
};

struct Consumer {
    const Shared& shared;
    const Problem& p;
    const CUtensorMap* out;
    int group, thread, warp, lane;
    Cursor at;
    uint32_t ranks_phase = 0;
    uint32_t last = 0;  // the barrier to be told when what was issued last is done

    // Every warp speaks for itself, in both blocks of the cluster: another warp's part of a product may still be running.
    __device__ void release(uint32_t barrier) {
        if (lane < kBlocks) barrier_arrive_cluster(barrier, lane);
    }

    // A stage's products, issued only; the barrier to be told when they are done.
    __device__ __forceinline__ uint32_t issue_stage(Sums& sums, bool accumulate) {
        barrier_wait(shared.full(at.stage), at.phase);
        const uint64_t a = operand_descriptor(shared.left(at.stage) + group * 64 * kRowBytes, 16, 8 * kRowBytes);
        const uint64_t b = operand_descriptor(shared.right(at.stage), 16, 8 * kRowBytes);
        wgmma_fence();
#pragma unroll
        for (int piece = 0; piece < kRowBytes / 32; ++piece)
            wgmma_64x192_e4m3(sums, a + 2 * piece, b + 2 * piece, accumulate || piece != 0);
        wgmma_commit();
        const uint32_t barrier = shared.empty(at.stage);
        at.advance();
        return barrier;
    }

    __device__ __forceinline__ uint32_t issue_ranks(Sums& sums) {
        barrier_wait(shared.ranks_full(), ranks_phase);
        ranks_phase ^= 1;
        const uint64_t a = operand_descriptor_32(shared.ranks_left() + group * 64 * kRanksRowBytes);
        wgmma_fence();
        wgmma_64x192_bf16(sums, a, operand_descriptor_32(shared.ranks_right()), 1);
        wgmma_commit();
        return shared.ranks_empty();
    }

    // Half a panel, 32 columns. Their factors are read before any of their results are stored: reads wait for the stores
    // before them.
    template <int Half>
    __device__ __forceinline__ void lay(const Sums& sums, int parity) {
        constexpr int kFirst = Half * 32;
        const uint32_t factors = shared.factors(parity), columns = factors + lane % 4 * 8 + kFirst * 4;
        const uint32_t biases = factors + kBiasAt + lane % 4 * 4 + kFirst * 2;
        const uint32_t rows = factors + kRowScalesAt + (64 * group + 16 * warp + lane / 4) * 4;
        float low, high;
        asm volatile("ld.shared.f32 %0, [%1];" : "=f"(low) : "r"(rows));
        asm volatile("ld.shared.f32 %0, [%1];" : "=f"(high) : "r"(rows + 32));
        float2 scale[4];
        uint32_t bias[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(scale[j].x), "=f"(scale[j].y) : "r"(columns + j * 32));
            asm volatile("ld.shared.b32 %0, [%1];" : "=r"(bias[j]) : "r"(biases + j * 16));
        }
        // Of the four matrices of a store: which rows and which eight columns this lane says the place of.
        const int own = 16 * warp + lane % 16, eight = lane / 16 + Half % 2 * 4;
        const uint32_t place = shared.results(group) + Half / 2 * kPanelBytes + own * kRowBytes;
#pragma unroll
        for (int j = 0; j < 4; j += 2) {
            uint32_t words[4];
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const float* all = sums + kFirst / 2 + 4 * (j + i);
                const float2 by = make_float2(unit(scale[j + i].x), unit(scale[j + i].y));
                const float first = __uint_as_float(bias[j + i] << 16);
                const float second = __uint_as_float(bias[j + i] & 0xffff0000);
                words[2 * i] = pack(fmaf(all[0], low * by.x, first), fmaf(all[1], low * by.y, second));
                words[2 * i + 1] = pack(fmaf(all[2], high * by.x, first), fmaf(all[3], high * by.y, second));
            }
            const uint32_t chunk = (j + eight) ^ (own % 8);  // the swizzle
            store_matrices(place + chunk * 16, words[0], words[1], words[2], words[3]);
        }
    }

    // Before the first panel is laid: the last tile's results have left their place.
    __device__ __forceinline__ void make_room() {
        if (thread == 0) stores_wait_read();
        named_sync(kResultsBarrier + group, 128);
    }

    // A panel that was laid; the copy engine goes on when this returns. All at once would hold up what tiles read.
    __device__ __forceinline__ void send(int panel, int row, int column) {
        copy_engine_fence();
        named_sync(kResultsBarrier + group, 128);
        if (thread == 0) {
            tensor_store(out, shared.results(group) + panel * kPanelBytes, column + panel * kPanel, row);
            stores_commit();
        }
    }

    // The unit before is done when this returns, and this one under way.
    __device__ __forceinline__ void follow(uint32_t barrier) {
        wgmma_wait<1>();
        if (last != 0) release(last);
        last = barrier;
    }

    // Nothing is under way.
    __device__ __forceinline__ void settle() {
        wgmma_wait<0>();
        if (last != 0) release(last);
        last = 0;
    }

    // Products of a tile's stages from `stage` on, and of its ranks in their middle; the last of them is under way afterwards.
    __device__ __forceinline__ void rest(Sums& sums, int stage) {
        const int stages = (p.inner + kRowBytes - 1) / kRowBytes, turns = (p.side.ranks + kRanks - 1) / kRanks;
#pragma unroll 1
        for (int turn = 0; turn < turns; ++turn) {
#pragma unroll 1
            for (const int until = (turn + 1) * stages / (turns + 1); stage < until; ++stage) follow(issue_stage(sums, true));
            // The place of the last ranks has to be empty before these can come.
            if (last == shared.ranks_empty()) settle();
            follow(issue_ranks(sums));
        }
#pragma unroll 1
        for (; stage < stages; ++stage) follow(issue_stage(sums, true));
    }

    // Scales and writes a tile, and between its halves of panels goes on with the products of the next.
    template <bool GoOn>
    __device__ __forceinline__ void write(const Sums& sums, Sums& next, int parity, int row, int column) {
        const auto half = [&](auto step) {
            constexpr int kHalf = decltype(step)::value;
            const uint32_t barrier = GoOn ? issue_stage(next, true) : 0;
            lay<kHalf>(sums, parity);
            if (GoOn) follow(barrier);
            if (kHalf % 2 == 1) send(kHalf / 2, row, column);
        };
        make_room();
        half(Step<0>{}), half(Step<1>{}), half(Step<2>{}), half(Step<3>{}), half(Step<4>{}), half(Step<5>{});
        if (lane == 0) barrier_arrive(shared.factors_empty(parity));
    }

    // This tile's results, and the next one's products.
    __device__ __forceinline__ void turn(Sums& sums, Sums& next, int parity, int row, int column) {
        follow(issue_stage(next, false));
        pin_registers(sums);
        constexpr int kStagesOn = 1 + 2 * kPanels;
        const bool on = p.inner > (kStagesOn - 1) * kRowBytes;
        if (on) write<true>(sums, next, parity, row, column);
        else write<false>(sums, next, parity, row, column);
        rest(next, on ? kStagesOn : 1);
    }

    __device__ __forceinline__ void end(Sums& sums, int parity, int row, int column) {
        settle();
        pin_registers(sums);
        write<false>(sums, sums, parity, row, column);
    }

    __device__ void consume() {
        const Tiles tiles(p);
        Sums even, odd;
        int tile = Tiles::first();
        if (tile >= tiles.count) return;
        last = issue_stage(even, false);
        rest(even, 1);
#pragma unroll 1
        for (int row, column;;) {
            const auto next = [&] {
                row = tiles.row(tile) + 64 * group, column = tiles.column(tile);
                tile += Tiles::step();
                return tile < tiles.count;
            };
            if (!next()) {
                end(even, 0, row, column);
                break;
            }
            turn(even, odd, 0, row, column);
            if (!next()) {
                end(odd, 1, row, column);
                break;
            }
            turn(odd, even, 1, row, column);
        }
        if (thread == 0) stores_wait_read();
    }
};

}  // namespace

extern "C" __global__ void __cluster_dims__(kBlocks, 1, 1) __launch_bounds__(kThreads, 1)
    product_sm90(const __grid_constant__ CUtensorMap x, const __grid_constant__ CUtensorMap weight,
                 const __grid_constant__ CUtensorMap t, const __grid_constant__ CUtensorMap b,
                 const __grid_constant__ CUtensorMap out, const float* x_scales, const float* weight_scales,
                 const __nv_bfloat16* bias, int rows, int columns, int inner, const __grid_constant__ Side side) {
    extern __shared__ uint8_t raw[];
    const Shared shared{(shared_address(raw) + 1023) & ~1023u};
    const Problem problem{rows, columns, inner, side};
    const Operands operands{&x, &weight, &t, &b, x_scales, weight_scales, bias};
    const int warpgroup = __shfl_sync(~0u, threadIdx.x / 128, 0);
    if (threadIdx.x == 0) {
        for (int stage = 0; stage < kStages; ++stage) {
            barrier_init(shared.full(stage), 1);
            barrier_init(shared.empty(stage), 4 * kGroups * kBlocks);
        }
        for (int parity = 0; parity < 2; ++parity) barrier_init(shared.factors_empty(parity), 4 * kGroups);
        barrier_init(shared.ranks_landed(), 1);
        barrier_init(shared.ranks_full(), 1);
        barrier_init(shared.ranks_empty(), 4 * kGroups * kBlocks);
        barrier_init_fence();
    }
    cluster_sync();
    if (warpgroup == 0) {
        registers_give<kProducerRegisters>();
        if (threadIdx.x == 0) {
            tensor_prefetch(&x);
            tensor_prefetch(&weight);
            Producer{shared, problem, operands}.run();
        } else if (threadIdx.x >= 128 - kHelpers && side.ranks > 0) {
            Helper{shared, problem, operands, static_cast<int>(threadIdx.x) + kHelpers - 128}.run();
        }
    } else {
        registers_take<kConsumerRegisters>();
        const int thread = threadIdx.x % 128;
        Consumer{shared, problem, &out, warpgroup - 1, thread, thread / 32, thread % 32}.consume();
    }
    // Neither block ends while the other may still write into its stages or speak to its barriers.
    cluster_sync();
}
