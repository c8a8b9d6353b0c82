// Fused attention for Hopper: O = softmax(scale * Q K^T) V, no mask, bf16 in and out, fp32 inside, head dim 128 or 64.
//
// Layouts. Any lengths from 1, of queries and of keys. q, k, v arrive as 5-dimensional tensor maps, so any of them may
// be a slice of a wider buffer:
//   dimensions (64, length, D/64, heads, batch); strides in bytes (row, 128, head, batch), all multiples of 16;
//   128-byte swizzle, zero fill; boxes (64, 64, D/64, 1, 1) for q and (64, kBlock, D/64, 1, 1) for k and v.
//   `out` is a plain pointer with row, head and batch strides in elements; rows 16-byte aligned.
//
// Tiling. A block works on kGroups * 64 query rows of one head; each consumer warpgroup keeps 64 rows of O in
// registers. One producer thread streams K and V blocks of kBlock rows through rings of kStages stages. The consumer
// warpgroups take turns at the tensor cores (named barriers), so that one's softmax runs under the others' products;
// where registers allow (kOverlap), a warpgroup also issues Q K^T of the next block and P V of this one together and
// does the next softmax while P V runs. Shared memory: 1280 + kGroups * 64 * D * 2 + 2 * kStages * kBlock * D * 2
// bytes; threads: 128 * (kGroups + 1).
//
// Balance. The grid is one block a multiprocessor; all (query tile, key block) pairs are laid in a row and cut into
// equal runs, one a block, so that no multiprocessor idles in a last wave. A run that starts inside a tile writes that
// part unnormalised to `partials` and raises a flag; the run that holds the tile's first block merges the parts in a
// fixed order (the result does not depend on timing) and lowers the flags. Every block of the grid must be resident at
// once: grid <= number of multiprocessors. `partials` holds grid * kGroups * 64 * (D + 2) floats, `flags` grid *
// kGroups words, zero before the first launch and zero again after each one.
//
// Bound by the tensor cores: 4 * length^2 * D * heads FLOP (261 GFLOP at 4608 x 24 x 128) against 4 * length * D *
// heads * 2 bytes (113 MB). Times against that floor: benches/PERFORMANCE.md.
#include <cuda_bf16.h>

#include "attention_rows.cuh"
#include "hopper.cuh"
#include "wgmma.cuh"

namespace {

constexpr int kRowsPerGroup = 64;  // one wgmma tile
constexpr int kPanelBytes = 128;   // a swizzled row: 64 bf16 values
constexpr int kSmallestPiece = 2;  // key blocks: a shorter piece of a tile costs more to merge than it balances
constexpr int kTurnBarrier = 1;    // named barriers kTurnBarrier + group: that group may issue its products
constexpr int kGroupBarrier = 5;   // named barriers kGroupBarrier + group: the threads of one group

template <int HeadDim_, int Block_, int Groups_, int Stages_, bool Overlap_>
struct Shape {
    static constexpr int kHeadDim = HeadDim_, kBlock = Block_, kGroups = Groups_, kStages = Stages_;
    static constexpr bool kOverlap = Overlap_;  // P V of one block runs under softmax of the next; takes more registers
    static constexpr int kThreads = 128 * (kGroups + 1);
    static constexpr int kQueryBytes = kRowsPerGroup * kHeadDim * 2;
    static constexpr int kBlockBytes = kBlock * kHeadDim * 2;
    // Together no more than the launch gives, or the warpgroups wait for each other for ever: 3 * 168 or 4 * 128.
    static constexpr int kProducerRegisters = kGroups == 3 ? 32 : 24;
    static constexpr int kConsumerRegisters = kGroups == 3 ? 160 : 240;
    static constexpr int kPartialFloats = kRowsPerGroup * (kHeadDim + 2);  // of one group: O, maxima, sums
    static_assert(kBlock % 16 == 0 && (kGroups == 2 || kGroups == 3), "");
};

struct Problem {
    int q_len, kv_len, heads, batch;
    int row_tiles, blocks;  // query tiles of a head, key blocks of a head
    int tiles;              // of all heads and batches
};

template <class S>
__device__ Problem describe(int q_len, int kv_len, int heads, int batch) {
    constexpr int rows = kRowsPerGroup * S::kGroups;
    Problem p{q_len, kv_len, heads, batch, (q_len + rows - 1) / rows, (kv_len + S::kBlock - 1) / S::kBlock, 0};
    p.tiles = p.row_tiles * heads * batch;
    return p;
}

// Where worker `index` of `workers` begins in the row of all (tile, block) pairs.
__device__ int run_begin(const Problem& p, int index, int workers) {
    int at = static_cast<int>(static_cast<long long>(index) * p.tiles * p.blocks / workers);
    int inside = at % p.blocks;
    if (inside < kSmallestPiece) return at - inside;
    if (p.blocks - inside < kSmallestPiece) return at + p.blocks - inside;
    return at;
}

// A worker's run, handed out piece by piece: blocks [begin, end) of one tile.
struct Run {
    int at, end_of_run, tile, begin, end;
    __device__ Run(const Problem& p, int worker, int workers)
        : at(run_begin(p, worker, workers)), end_of_run(run_begin(p, worker + 1, workers)) {}
    __device__ bool next(const Problem& p) {
        if (at >= end_of_run) return false;
        tile = at / p.blocks;
        begin = at - tile * p.blocks;
        end = min(p.blocks, begin + end_of_run - at);
        at += end - begin;
        return true;
    }
};

struct Place {
    int row, head, batch;  // first query row of the tile
};

template <class S>
__device__ Place place_of(const Problem& p, int tile) {
    int head_of_all = tile / p.row_tiles;
    int row_tile = tile - head_of_all * p.row_tiles;
    int batch = head_of_all / p.heads;
    return {row_tile * S::kGroups * kRowsPerGroup, head_of_all - batch * p.heads, batch};
}

// Addresses in shared memory. Every array of tiles starts on a swizzle boundary of 1024 bytes.
template <class S>
struct Shared {
    uint32_t base;
    __device__ uint32_t query(int group) const { return base + group * S::kQueryBytes; }
    __device__ uint32_t key(int stage) const { return base + S::kGroups * S::kQueryBytes + stage * S::kBlockBytes; }
    __device__ uint32_t value(int stage) const { return key(S::kStages + stage); }
    __device__ uint32_t barriers() const { return key(2 * S::kStages); }
    __device__ uint32_t key_full(int stage) const { return barriers() + 8 * stage; }
    __device__ uint32_t key_empty(int stage) const { return key_full(S::kStages + stage); }
    __device__ uint32_t value_full(int stage) const { return key_full(2 * S::kStages + stage); }
    __device__ uint32_t value_empty(int stage) const { return key_full(3 * S::kStages + stage); }
    __device__ uint32_t query_full(int group) const { return key_full(4 * S::kStages + group); }
    __device__ uint32_t query_empty(int group) const { return key_full(4 * S::kStages + S::kGroups + group); }
};

// A position in a ring of stages.
template <int Stages>
struct Cursor {
    int stage = 0;
    uint32_t phase = 0;
    __device__ void advance() {
        if (++stage == Stages) {
            stage = 0;
            phase ^= 1;
        }
    }
};

template <class S>
__device__ void init_barriers(const Shared<S>& shared) {
    for (int stage = 0; stage < S::kStages; ++stage) {
        barrier_init(shared.key_full(stage), 1);
        barrier_init(shared.value_full(stage), 1);
        barrier_init(shared.key_empty(stage), 4 * S::kGroups);
        barrier_init(shared.value_empty(stage), 4 * S::kGroups);
    }
    for (int group = 0; group < S::kGroups; ++group) {
        barrier_init(shared.query_full(group), 1);
        barrier_init(shared.query_empty(group), 4);
    }
    barrier_init_fence();
}

// ---- the producer: one thread that keeps the copy engine busy ----

template <class S>
struct Producer {
    const Shared<S>& shared;
    const CUtensorMap *q_map, *k_map, *v_map;
    Cursor<S::kStages> keys, values;
    uint32_t query_phase = 1;  // a fresh barrier counts as released

    __device__ void load_block(const CUtensorMap* map, uint32_t to, uint32_t full, uint32_t empty, uint32_t phase,
                               int row, const Place& place) {
        barrier_wait(empty, phase ^ 1);
        barrier_expect_bytes(full, S::kBlockBytes);
        tensor_load(to, map, full, 0, row, 0, place.head, place.batch);
    }

    __device__ void load_keys(int block, const Place& place) {
        load_block(k_map, shared.key(keys.stage), shared.key_full(keys.stage), shared.key_empty(keys.stage), keys.phase,
                   block * S::kBlock, place);
        keys.advance();
    }

    __device__ void load_values(int block, const Place& place) {
        load_block(v_map, shared.value(values.stage), shared.value_full(values.stage), shared.value_empty(values.stage),
                   values.phase, block * S::kBlock, place);
        values.advance();
    }

    __device__ void load_queries(const Place& place) {
        for (int group = 0; group < S::kGroups; ++group) {
            barrier_wait(shared.query_empty(group), query_phase);
            barrier_expect_bytes(shared.query_full(group), S::kQueryBytes);
            tensor_load(shared.query(group), q_map, shared.query_full(group), 0, place.row + group * kRowsPerGroup, 0,
                        place.head, place.batch);
        }
        query_phase ^= 1;
    }

    // Blocks go last to first, so that the one that may need masking comes before the steady loop.
    __device__ void feed(const Problem& p, Run run) {
        while (run.next(p)) {
            Place place = place_of<S>(p, run.tile);
            load_keys(run.end - 1, place);
            load_queries(place);
            for (int block = run.end - 2; block >= run.begin; --block) {
                load_keys(block, place);
                load_values(block + 1, place);
            }
            load_values(run.begin, place);
        }
    }
};

// ---- the consumers ----

// The assembler likes to sink arithmetic below a wait for the tensor cores, which would leave nothing to overlap. An
// instruction with a side effect, on a condition that never holds but needs the whole sum, keeps all of it above.
__device__ __forceinline__ void finish_before_wait(float positive) {
    asm volatile("{\n.reg .pred p;\nsetp.lt.f32 p, %0, 0f00000000;\n@p nanosleep.u32 1;\n}\n" ::"f"(positive)
                 : "memory");
}

template <class S>
struct Consumer {
    static constexpr int kScores = S::kBlock / 2, kOut = S::kHeadDim / 2;
    using ScoreProduct = Wgmma<S::kBlock>;
    using ValueProduct = Wgmma<S::kHeadDim>;

    const Shared<S>& shared;
    int group, lane;
    float scale_log2;
    Cursor<S::kStages> keys, values;
    uint32_t query_phase = 0;
    float o[kOut], s[kScores];
    uint32_t p[kScores / 2];
    Rows rows;

    // Every warp speaks for itself: another warp's part of a product may still be running.
    __device__ void release(uint32_t barrier) {
        if (lane == 0) barrier_arrive(barrier);
    }

    __device__ void take_turn() { named_sync(kTurnBarrier + group, 256); }
    __device__ void pass_turn() { named_arrive(kTurnBarrier + (group + 1) % S::kGroups, 256); }

    // s = Q K^T, issued only.
    __device__ __forceinline__ void issue_scores() {
        const uint64_t q = operand_descriptor(shared.query(group), 16, 8 * kPanelBytes);
        const uint64_t k = operand_descriptor(shared.key(keys.stage), 16, 8 * kPanelBytes);
#pragma unroll
        for (int step = 0; step < S::kHeadDim / 16; ++step) {
            const int panel = step / 4, inside = (step % 4) * 32;
            ScoreProduct::shared_shared(s, q + ((panel * kRowsPerGroup * kPanelBytes + inside) >> 4),
                                        k + ((panel * S::kBlock * kPanelBytes + inside) >> 4), step != 0);
        }
        wgmma_commit();
    }

    // o (+)= P V, issued only.
    __device__ __forceinline__ void issue_values(bool accumulate) {
        const uint64_t v = operand_descriptor(shared.value(values.stage), S::kBlock * kPanelBytes, 8 * kPanelBytes);
#pragma unroll
        for (int step = 0; step < S::kBlock / 16; ++step)
            ValueProduct::registers_transposed(o, p + 4 * step, v + ((step * 16 * kPanelBytes) >> 4),
                                               step != 0 || accumulate);
        wgmma_commit();
    }

    __device__ __forceinline__ void scores_done(bool last) {
        release(shared.key_empty(keys.stage));
        keys.advance();
        if (last) release(shared.query_empty(group));
    }

    __device__ __forceinline__ void values_done() {
        release(shared.value_empty(values.stage));
        values.advance();
    }

    // All of one piece: leaves the unnormalised output in `o` and the rows' maxima and (per thread) sums.
    __device__ void attend(const Problem& problem, const Run& run) {
        const int count = run.end - run.begin;
        float shrink[2];
        barrier_wait(shared.query_full(group), query_phase);
        query_phase ^= 1;
        barrier_wait(shared.key_full(keys.stage), keys.phase);
        wgmma_fence();
        issue_scores();
        wgmma_wait<0>();
        pin_registers(s);
        scores_done(count == 1);
        if (run.end == problem.blocks && problem.kv_len % S::kBlock != 0)
            mask_columns(s, problem.kv_len % S::kBlock, lane);
        softmax<kScores, true>(s, rows, shrink, scale_log2);
        to_operand(s, p);
        if constexpr (S::kOverlap) {
            steady_overlapped(count);
        } else {
            steady_plain(count);
        }
    }

    __device__ __forceinline__ void steady_overlapped(int count) {
        float shrink[2];
#pragma unroll 1
        for (int i = 1; i < count; ++i) {
            barrier_wait(shared.key_full(keys.stage), keys.phase);
            take_turn();
            wgmma_fence();
            issue_scores();
            barrier_wait(shared.value_full(values.stage), values.phase);
            wgmma_fence();
            issue_values(i > 1);
            pass_turn();
            wgmma_wait<1>();
            pin_registers(s);
            scores_done(i == count - 1);
            softmax<kScores, false>(s, rows, shrink, scale_log2);
            finish_before_wait(rows.sum[0] + rows.sum[1]);  // the exponentials run under the products
            wgmma_wait<0>();
            pin_registers(o);
            pin_registers(s);
            values_done();
            multiply_rows(o, shrink);
            to_operand(s, p);
        }
        barrier_wait(shared.value_full(values.stage), values.phase);
        wgmma_fence();
        issue_values(count > 1);
        wgmma_wait<0>();
        pin_registers(o);
        values_done();
    }

    __device__ __forceinline__ void steady_plain(int count) {
        float shrink[2];
#pragma unroll 1
        for (int i = 1; i <= count; ++i) {
            take_turn();
            barrier_wait(shared.value_full(values.stage), values.phase);
            wgmma_fence();
            issue_values(i > 1);
            wgmma_wait<0>();
            pin_registers(o);
            values_done();
            if (i < count) {
                barrier_wait(shared.key_full(keys.stage), keys.phase);
                wgmma_fence();
                issue_scores();
                pass_turn();
                wgmma_wait<0>();
                pin_registers(s);
                scores_done(i == count - 1);
                softmax<kScores, false>(s, rows, shrink, scale_log2);
                multiply_rows(o, shrink);
                to_operand(s, p);
            } else {
                pass_turn();
            }
        }
    }

    // ---- pieces of tiles: this group's part of `partials` is [O in quarters of registers, maxima, sums] by thread
    // ----

    __device__ void write_partial(float* partial, unsigned* flag, int thread) {
        float4* quarters = reinterpret_cast<float4*>(partial);
#pragma unroll
        for (int i = 0; i < kOut / 4; ++i)
            quarters[i * 128 + thread] = make_float4(o[4 * i], o[4 * i + 1], o[4 * i + 2], o[4 * i + 3]);
        float4 ends = make_float4(rows.max[0], rows.max[1], quad_sum(rows.sum[0]), quad_sum(rows.sum[1]));
        if (thread % 4 == 0) reinterpret_cast<float4*>(partial + kRowsPerGroup * S::kHeadDim)[thread / 4] = ends;
        __threadfence();
        named_sync(kGroupBarrier + group, 128);
        if (thread == 0) asm volatile("st.release.gpu.global.u32 [%0], 1;" ::"l"(flag) : "memory");
    }

    // Expects `rows.sum` complete over the quad.
    __device__ void merge_partial(const float* partial, unsigned* flag, int thread) {
        if (thread == 0) {
            unsigned up = 0;
            while (!up) asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(up) : "l"(flag) : "memory");
            *flag = 0;
        }
        named_sync(kGroupBarrier + group, 128);
        const float4* quarters = reinterpret_cast<const float4*>(partial);
        const float4 ends = __ldcg(reinterpret_cast<const float4*>(partial + kRowsPerGroup * S::kHeadDim) + thread / 4);
        const float their_max[2] = {ends.x, ends.y}, their_sum[2] = {ends.z, ends.w};
        float ours[2], theirs[2];
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            const float top = fmaxf(rows.max[r], their_max[r]);
            ours[r] = exp2_fast((rows.max[r] - top) * scale_log2);
            theirs[r] = exp2_fast((their_max[r] - top) * scale_log2);
            rows.sum[r] = rows.sum[r] * ours[r] + their_sum[r] * theirs[r];
            rows.max[r] = top;
        }
#pragma unroll
        for (int i = 0; i < kOut / 4; ++i) {
            const float4 q = __ldcg(quarters + i * 128 + thread);
            o[4 * i] = o[4 * i] * ours[0] + q.x * theirs[0];
            o[4 * i + 1] = o[4 * i + 1] * ours[0] + q.y * theirs[0];
            o[4 * i + 2] = o[4 * i + 2] * ours[1] + q.z * theirs[1];
            o[4 * i + 3] = o[4 * i + 3] * ours[1] + q.w * theirs[1];
        }
    }
};

template <class S>
__device__ __forceinline__ void attention(const CUtensorMap& q_map, const CUtensorMap& k_map, const CUtensorMap& v_map,
                                          __nv_bfloat16* out, long long row_stride, long long head_stride,
                                          long long batch_stride, int q_len, int kv_len, int heads, int batch,
                                          float scale_log2, float* partials, unsigned* flags) {
    extern __shared__ uint8_t raw[];
    const Shared<S> shared{(shared_address(raw) + 1023) & ~1023u};
    const Problem problem = describe<S>(q_len, kv_len, heads, batch);
    const int worker = blockIdx.x, workers = gridDim.x;
    const int warpgroup = __shfl_sync(~0u, threadIdx.x / 128, 0);

    if (threadIdx.x == 0) init_barriers(shared);
    __syncthreads();

    if (warpgroup == 0) {
        registers_give<S::kProducerRegisters>();
        if (threadIdx.x == 0) {
            tensor_prefetch(&q_map);
            tensor_prefetch(&k_map);
            tensor_prefetch(&v_map);
            Producer<S> producer{shared, &q_map, &k_map, &v_map};
            producer.feed(problem, Run(problem, worker, workers));
        }
    } else {
        registers_take<S::kConsumerRegisters>();
        const int group = warpgroup - 1, thread = threadIdx.x % 128;
        Consumer<S> consumer{shared, group, thread % 32, scale_log2};
        if (group == S::kGroups - 1) named_arrive(kTurnBarrier, 256);  // the first turn is group 0's
        Run run(problem, worker, workers);
        while (run.next(problem)) {
            consumer.attend(problem, run);
            const auto slot = [&](int w) { return w * S::kGroups + group; };
            if (run.begin > 0) {
                consumer.write_partial(partials + static_cast<long long>(slot(worker)) * S::kPartialFloats,
                                       flags + slot(worker), thread);
                continue;
            }
            consumer.rows.sum[0] = quad_sum(consumer.rows.sum[0]);
            consumer.rows.sum[1] = quad_sum(consumer.rows.sum[1]);
            const int tile_end = (run.tile + 1) * problem.blocks;
            for (int w = worker + 1, from = run.at; from < tile_end; ++w) {
                const int to = run_begin(problem, w + 1, workers);
                if (to > from)
                    consumer.merge_partial(partials + static_cast<long long>(slot(w)) * S::kPartialFloats,
                                           flags + slot(w), thread);
                from = to;
            }
            const Place place = place_of<S>(problem, run.tile);
            const int row = place.row + group * kRowsPerGroup + thread / 32 * 16;
            write_rows(consumer.o, consumer.rows.sum,
                       out + row * row_stride + place.head * head_stride + place.batch * batch_stride, row_stride,
                       q_len - row, consumer.lane);
        }
    }
}

}  // namespace

// Template arguments: head dim, kBlock, kGroups, kStages, kOverlap.
#define ATTENTION_SM90(name, ...)                                                                                     \
    extern "C" __global__ void __launch_bounds__(Shape<__VA_ARGS__>::kThreads, 1)                                     \
        name(const __grid_constant__ CUtensorMap q_map, const __grid_constant__ CUtensorMap k_map,                    \
             const __grid_constant__ CUtensorMap v_map, __nv_bfloat16* out, long long row_stride,                     \
             long long head_stride, long long batch_stride, int q_len, int kv_len, int heads, int batch,              \
             float scale_log2, float* partials, unsigned* flags) {                                                    \
        attention<Shape<__VA_ARGS__>>(q_map, k_map, v_map, out, row_stride, head_stride, batch_stride, q_len, kv_len, \
                                      heads, batch, scale_log2, partials, flags);                                     \
    }

ATTENTION_SM90(attention_sm90_d128, 128, 128, 3, 2, false)
ATTENTION_SM90(attention_sm90_d64, 64, 128, 3, 3, true)
