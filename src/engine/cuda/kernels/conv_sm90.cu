// 3x3 convolutions for Hopper, stride 1, a frame of zeros: bf16 in and out, fp32 inside. The same function as
// conv_sm80.cu by the copy engine and wgmma.
//
//   conv_sm90_{256,128}           out = conv(x) + bias (+ residual)
//   conv_sm90_doubled_{256,128}   the same of x doubled by nearest neighbours
//
// Layouts. x is [height, width, in], in a multiple of 8; out is [height, width, channels] or, where doubled,
// [2 height, 2 width, channels], channels a multiple of 8; residual is like out. Weights are [channels, 9, in] (taps
// row by row) or, where doubled, [4 phases, channels, 4, in] (conv.cuh; packed by vae.cu). bias is fp32. x and the
// weights arrive as 3-dimensional tensor maps, 128-byte swizzle, zero fill:
//   x       dimensions (in, width, height), box (64, 16, kHeight + side - 1)
//   weight  dimensions (in, side * side, phases * channels), box (64, 1, 128)
// with side 3 and one phase, or 2 and four where doubled; kHeight is 16 in the kernels named 256 and 8 in the others.
//
// Tiling. An implicit product: a tile is kHeight x 16 pixels (so named: 256 or 128) and 128 channels, each of two
// consumer warpgroups has half of its rows, as wgmma tiles of four rows of 16 pixels. One producer thread streams 64
// channels at a time: for each column of taps the pixels of the whole tile, shifted by that column, with the rows above
// and below, and for each tap of it the weights. The taps of a column read the same pixels some rows further on, 2048
// bytes a row, which keeps to the swizzle; so x is read from L2 three times (twice) and not nine (four). What lies
// outside of the picture the copy engine fills with zeros. Three stages of pixels, six of weights; shared memory: 1280
// + 3 * (kHeight + side - 1) * 2048 + 6 * 16384 bytes; 384 threads, one block a multiprocessor (168 registers at
// launch, 240 a consumer, of which 128 are sums; no spills).
//
// Grid: one block a multiprocessor (any number up to the tiles works); a block takes every gridDim.x-th tile, channels
// innermost, then phases, so that neighbours share pixels in L2. The producer fills its stages with the next tile's
// while the consumers write the last one; the second warpgroup starts a column of taps behind the first and stays about
// there, so that one multiplies while the other writes. The residual is asked into L2 when a tile begins.
//
// Bound by the tensor cores: 18 * pixels * in * channels FLOP (8 * output pixels where doubled). From L2 come 27 bytes
// a multiprocessor and clock at full rate (44 in tiles of 128 pixels). Times: benches/PERFORMANCE.md.
#include "conv.cuh"
#include "hopper.cuh"
#include "wgmma.cuh"

namespace {

constexpr int kGroups = 2;  // consumer warpgroups
constexpr int kThreads = 128 * (kGroups + 1);
constexpr int kWidth = 16;            // pixels of a tile's row
constexpr int kColumns = 128;         // channels of a tile
constexpr int kStep = 64;             // channels of x at a time
constexpr int kRowBytes = kStep * 2;  // a swizzled row
constexpr int kPixelRowBytes = kWidth * kRowBytes;
constexpr int kWeightBytes = kColumns * kRowBytes;
constexpr int kPixelStages = 3, kWeightStages = 6;
constexpr int kProducerRegisters = 24, kConsumerRegisters = 240;
constexpr int kStartBarrier = 1;  // a named barrier: the second warpgroup may begin

// Side: taps a row. Tiles: wgmma tiles of a warpgroup.
template <int Side_, int Tiles_>
struct Shape {
    static constexpr int kSide = Side_, kTiles = Tiles_;
    static constexpr bool kDoubled = kSide == 2;
    static constexpr int kPhases = kDoubled ? 4 : 1;
    static constexpr int kHeight = 4 * kTiles * kGroups;  // pixels of a tile's column
    static constexpr int kPixelBytes = (kHeight + kSide - 1) * kPixelRowBytes;
};

struct Problem {
    int height, width, in, channels;
};

// What a tile covers.
struct Place {
    int x, y, phase, channel;
};

template <class S>
struct Tiles {
    int channels, columns, count;  // tiles of the channels, of a picture row, of all
    __device__ explicit Tiles(const Problem& p)
        : channels((p.channels + kColumns - 1) / kColumns), columns((p.width + kWidth - 1) / kWidth) {
        count = channels * S::kPhases * columns * ((p.height + S::kHeight - 1) / S::kHeight);
    }
    __device__ Place operator[](int tile) const {
        const int at = tile / channels, pixel = at / S::kPhases;
        return {pixel % columns * kWidth, pixel / columns * S::kHeight, at % S::kPhases, tile % channels * kColumns};
    }
};

// Addresses in shared memory. Every array of rows starts on a swizzle boundary of 1024 bytes.
template <class S>
struct Shared {
    uint32_t base;
    __device__ uint32_t pixels(int stage) const { return base + stage * S::kPixelBytes; }
    __device__ uint32_t weights(int stage) const { return pixels(kPixelStages) + stage * kWeightBytes; }
    __device__ uint32_t pixels_full(int stage) const { return weights(kWeightStages) + 8 * stage; }
    __device__ uint32_t pixels_empty(int stage) const { return pixels_full(kPixelStages + stage); }
    __device__ uint32_t weights_full(int stage) const { return pixels_full(2 * kPixelStages + stage); }
    __device__ uint32_t weights_empty(int stage) const { return weights_full(kWeightStages + stage); }
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
    for (int stage = 0; stage < kPixelStages; ++stage) {
        barrier_init(shared.pixels_full(stage), 1);
        barrier_init(shared.pixels_empty(stage), 4 * kGroups);
    }
    for (int stage = 0; stage < kWeightStages; ++stage) {
        barrier_init(shared.weights_full(stage), 1);
        barrier_init(shared.weights_empty(stage), 4 * kGroups);
    }
    barrier_init_fence();
}

// One thread that keeps the copy engine busy.
template <class S>
__device__ void produce(const Shared<S>& shared, const Problem& p, const CUtensorMap* x_map,
                        const CUtensorMap* weight_map) {
    Cursor<kPixelStages> pixels;
    Cursor<kWeightStages> weights;
    const Tiles<S> tiles(p);
    for (int tile = blockIdx.x; tile < tiles.count; tile += gridDim.x) {
        const Place place = tiles[tile];
        const int up = S::kDoubled ? 1 - place.phase / 2 : 1, left = S::kDoubled ? 1 - place.phase % 2 : 1;
        const int row = place.phase * p.channels + place.channel;
        for (int channel = 0; channel < p.in; channel += kStep) {
            for (int j = 0; j < S::kSide; ++j) {
                barrier_wait(shared.pixels_empty(pixels.stage), pixels.phase ^ 1);
                const uint32_t full = shared.pixels_full(pixels.stage);
                barrier_expect_bytes(full, S::kPixelBytes);
                tensor_load(shared.pixels(pixels.stage), x_map, full, channel, place.x + j - left, place.y - up);
                pixels.advance();
                for (int i = 0; i < S::kSide; ++i) {
                    barrier_wait(shared.weights_empty(weights.stage), weights.phase ^ 1);
                    const uint32_t full = shared.weights_full(weights.stage);
                    barrier_expect_bytes(full, kWeightBytes);
                    tensor_load(shared.weights(weights.stage), weight_map, full, channel, i * S::kSide + j, row);
                    weights.advance();
                }
            }
        }
    }
}

template <class S>
struct Consumer {
    const Shared<S>& shared;
    int group, warp, lane;
    Cursor<kPixelStages> pixels;
    Cursor<kWeightStages> weights;
    float acc[S::kTiles][64];

    // Every warp speaks for itself: another warp's part of a product may still be running.
    __device__ void release(uint32_t barrier) {
        if (lane == 0) barrier_arrive(barrier);
    }

    // One tap's products, issued only: its pixels are `row` rows down.
    __device__ __forceinline__ void issue(int row, bool accumulate) {
        const uint64_t a = operand_descriptor(
            shared.pixels(pixels.stage) + (group * 4 * S::kTiles + row) * kPixelRowBytes, 16, 8 * kRowBytes);
        const uint64_t b = operand_descriptor(shared.weights(weights.stage), 16, 8 * kRowBytes);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < kStep / 16; ++k)
#pragma unroll
            for (int t = 0; t < S::kTiles; ++t)
                Wgmma<128>::shared_shared(acc[t], a + ((t * 4 * kPixelRowBytes + k * 32) >> 4), b + (k * 32 >> 4),
                                          accumulate || k != 0);
        wgmma_commit();
    }

    // Leaves the tile's sums in `acc`. A stage is released when the products after it are under way.
    __device__ __forceinline__ void accumulate(int in, bool first_tile) {
        int last_pixels = 0, last_weights = 0;
        bool first = true;
        if (first_tile && group == 1) named_sync(kStartBarrier, 128 * kGroups);
#pragma unroll 1
        for (int columns = (in + kStep - 1) / kStep * S::kSide; columns > 0; --columns) {
            barrier_wait(shared.pixels_full(pixels.stage), pixels.phase);
#pragma unroll
            for (int i = 0; i < S::kSide; ++i) {
                barrier_wait(shared.weights_full(weights.stage), weights.phase);
                issue(i, !first);
                wgmma_wait<1>();
                if (!first) {
                    release(shared.weights_empty(last_weights));
                    if (i == 0) release(shared.pixels_empty(last_pixels));
                }
                first = false;
                last_weights = weights.stage;
                weights.advance();
            }
            last_pixels = pixels.stage;
            pixels.advance();
            if (first_tile && group == 0) named_arrive(kStartBarrier, 128 * kGroups);
            first_tile = false;
        }
        wgmma_wait<0>();
#pragma unroll
        for (int t = 0; t < S::kTiles; ++t) pin_registers(acc[t]);
        release(shared.weights_empty(last_weights));
        release(shared.pixels_empty(last_pixels));
    }

    __device__ void consume(const Problem& p, const Output& o) {
        const Tiles<S> tiles(p);
        for (int tile = blockIdx.x; tile < tiles.count; tile += gridDim.x) {
            const Place place = tiles[tile];
            int at[S::kTiles][2];
#pragma unroll
            for (int t = 0; t < S::kTiles; ++t)
#pragma unroll
                for (int r = 0; r < 2; ++r)
                    at[t][r] = output_pixel(place.y + (group * S::kTiles + t) * 4 + warp, place.x + lane / 4 + 8 * r,
                                            p.height, p.width, S::kDoubled, place.phase);
            if (o.residual) {
                const int column = place.channel + (lane & 3) * 32;  // 64 of this pixel's 256 bytes
#pragma unroll
                for (int t = 0; t < S::kTiles; ++t)
#pragma unroll
                    for (int r = 0; r < 2; ++r)
                        if (at[t][r] >= 0 && column < o.channels)
                            prefetch(o.residual + static_cast<long long>(at[t][r]) * o.channels + column);
            }
            accumulate(p.in, tile == static_cast<int>(blockIdx.x));
            write_pixels(acc, o, at, place.channel, lane);
        }
    }
};

template <class S>
__device__ __forceinline__ void convolve(const CUtensorMap& x_map, const CUtensorMap& weight_map, const Problem& p,
                                         const Output& o) {
    extern __shared__ uint8_t raw[];
    const Shared<S> shared{(shared_address(raw) + 1023) & ~1023u};
    const int warpgroup = __shfl_sync(~0u, threadIdx.x / 128, 0);
    if (threadIdx.x == 0) init_barriers(shared);
    __syncthreads();
    if (warpgroup == 0) {
        registers_give<kProducerRegisters>();
        if (threadIdx.x == 0) {
            tensor_prefetch(&x_map);
            tensor_prefetch(&weight_map);
            produce(shared, p, &x_map, &weight_map);
        }
    } else {
        registers_take<kConsumerRegisters>();
        const int thread = threadIdx.x % 128;
        Consumer<S> consumer{shared, warpgroup - 1, thread / 32, thread % 32};
        consumer.consume(p, o);
    }
}

}  // namespace

// Template arguments: kSide, kTiles.
#define CONV_SM90(name, ...)                                                                                          \
    extern "C" __global__ void __launch_bounds__(kThreads, 1) name(                                                   \
        const __grid_constant__ CUtensorMap x_map, const __grid_constant__ CUtensorMap weight_map, const float* bias, \
        const __nv_bfloat16* residual, __nv_bfloat16* out, int height, int width, int in, int channels) {             \
        convolve<Shape<__VA_ARGS__>>(x_map, weight_map, {height, width, in, channels},                                \
                                     {bias, residual, out, channels});                                                \
    }

CONV_SM90(conv_sm90_256, 3, 2)
CONV_SM90(conv_sm90_128, 3, 1)
CONV_SM90(conv_sm90_doubled_256, 2, 2)
CONV_SM90(conv_sm90_doubled_128, 2, 1)
