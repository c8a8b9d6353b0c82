// 3x3 convolutions for Ampere and later, stride 1, a frame of zeros: bf16 in, bf16 (or, to few channels, fp32) out,
// fp32 inside. The same function as conv_sm90.cu without Hopper's instructions, for any channel counts.
//
//   conv_sm80_{128x128,128x64,64x32}   out = conv(x) + bias (+ residual), optionally of x doubled by nearest neighbours
//   conv_sm80_narrow                   at most 8 output channels, fp32 out
//
// Layouts. x is [height, width, in], in a multiple of 8; out is [height, width, channels] or, where doubled,
// [2 height, 2 width, channels], channels a multiple of 8; residual is like out. Weights are [channels, 9, in] (taps
// row by row) or, where doubled, [4 phases, channels, 4, in] (conv.cuh; packed by vae.cu). bias is fp32.
//
// Tiling. An implicit product of [pixels, 9 in] and [9 in, channels]: a block of four warps works on kRows neighbouring
// pixels (running on from one picture row to the next) and kColumns channels, in steps of 32 channels of one tap, taps
// innermost so that the nine reads of a pixel meet in the caches. cp.async gathers each step's pixels, zeros outside of
// the picture, through a ring of three stages. Rows in shared memory are 64 bytes, chunk c of row r at
// c ^ (r / 2 % 4), which ldmatrix reads without bank conflicts. Shared memory: 3 * (kRows + kColumns) * 64 bytes, 48 KB
// at 128x128, so that two blocks share a multiprocessor on every card (231 registers on 8.x, 236 on 9.0; no spills).
// Grid: (ceil(pixels / kRows) * ceil(channels / kColumns), 1, doubled ? 4 : 1); blocks with the same pixels are
// neighbours.
//
// conv_sm80_narrow reads its input once: a block of eight warps keeps the 18x18 pixels around a 16x16 tile in shared
// memory, 32 channels at a time, and multiplies by shifting fragment addresses. Grid: (width / 16, height / 16),
// rounded up; no dynamic shared memory.
//
// Bound by the tensor cores: 18 * pixels * in * channels FLOP (8 * output pixels where doubled); the narrow one by
// reading x. Times: benches/PERFORMANCE.md.
#include "conv.cuh"
#include "mma.cuh"

namespace {

using bf16 = __nv_bfloat16;

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * 32;
constexpr int kChunk = 8;  // bf16 values in 16 bytes
constexpr int kStep = 32;  // channels of one step
constexpr int kRowBytes = kStep * 2;
constexpr int kRowChunks = kStep / kChunk;
constexpr int kStages = 3;

// Where chunk `chunk` of row `row` lies. Rows 8 apart are swizzled alike, and steps of 16 channels are an exclusive-or
// with 32.
__device__ __forceinline__ uint32_t place(int row, int chunk) {
    return row * kRowBytes + ((chunk ^ (row >> 1 & 3)) << 4);
}

template <int Rows_, int Columns_, int WarpRows_, int WarpColumns_>
struct Shape {
    static constexpr int kRows = Rows_, kColumns = Columns_, kWarpRows = WarpRows_, kWarpColumns = WarpColumns_;
    static constexpr int kAcross = kColumns / kWarpColumns;  // warps
    static constexpr int kTiles = kWarpRows / 16, kPairs = kWarpColumns / 16;
    static constexpr int kRowsAtOnce = kThreads / kRowChunks;  // gathered by one instruction of all threads
    static constexpr int kRowLoads = kRows / kRowsAtOnce, kColumnLoads = kColumns / kRowsAtOnce;
    static constexpr int kStageBytes = (kRows + kColumns) * kRowBytes;
    static_assert(kRows / kWarpRows * kAcross == kWarps && kWarpColumns % 32 == 0, "");
    static_assert(kRows % kRowsAtOnce == 0 && kColumns % kRowsAtOnce == 0, "");
};

struct Problem {
    int height, width, in, channels;
    bool doubled;
    __device__ __forceinline__ int side() const { return doubled ? 2 : 3; }  // taps a row
};

// The first pixel and the first channel of this block.
template <class S>
__device__ __forceinline__ int2 block_begin(const Problem& p) {
    const int columns = (p.channels + S::kColumns - 1) / S::kColumns;
    return make_int2(blockIdx.x / columns * S::kRows, blockIdx.x % columns * S::kColumns);
}

// This thread's share of the copies, step after step: one 16-byte chunk of each of some pixels and of some channels.
template <class S>
struct Gather {
    const bf16 *x, *weight;
    const bf16 *pixels[S::kRowLoads], *rows[S::kColumnLoads];  // at the first tap
    uint32_t inside[S::kRowLoads];                             // a bit a tap: within the picture
    uint32_t to;
    int width, in, side, stride;  // `stride`: weights from one channel to the next
    int chunk, channel = 0, tap = 0, column = 0, offset = 0;
    uint32_t known = 0;  // a bit a load: that channel exists

    __device__ __forceinline__ Gather(const Problem& p, int2 begin, const bf16* x, const bf16* weight, uint32_t base)
        : x(x), weight(weight), width(p.width), in(p.in), side(p.side()) {
        const int first = threadIdx.x / kRowChunks, phase = blockIdx.z;
        chunk = threadIdx.x % kRowChunks * kChunk;
        to = base + place(first, threadIdx.x % kRowChunks);
        stride = side * side * in;
        const int up = p.doubled ? 1 - phase / 2 : 1, left = p.doubled ? 1 - phase % 2 : 1;
#pragma unroll
        for (int i = 0; i < S::kRowLoads; ++i) {
            const int pixel = begin.x + first + i * S::kRowsAtOnce;
            const int y = pixel / width - up, x0 = pixel % width - left;
            pixels[i] = x + (static_cast<long long>(y) * width + x0) * in + chunk;
            inside[i] = 0;
            for (int t = 0; t < side * side; ++t) {
                const int ty = y + t / side, tx = x0 + t % side;
                const bool is = pixel < p.height * width && ty >= 0 && ty < p.height && tx >= 0 && tx < width;
                inside[i] |= static_cast<uint32_t>(is) << t;
            }
        }
#pragma unroll
        for (int i = 0; i < S::kColumnLoads; ++i) {
            const int channel = begin.y + first + i * S::kRowsAtOnce;
            rows[i] = weight + (static_cast<long long>(phase) * p.channels + channel) * stride + chunk;
            known |= static_cast<uint32_t>(channel < p.channels) << i;
        }
    }

    // One step into stage `stage`, and on to the next.
    __device__ __forceinline__ void next(int stage) {
        const bool some = channel + chunk < in;
        const uint32_t at = to + stage * S::kStageBytes;
#pragma unroll
        for (int i = 0; i < S::kRowLoads; ++i) {
            const bool is = some && (inside[i] >> tap & 1);
            copy_async(at + i * S::kRowsAtOnce * kRowBytes, is ? pixels[i] + offset + channel : x, is);
        }
#pragma unroll
        for (int i = 0; i < S::kColumnLoads; ++i) {
            const bool is = some && (known >> i & 1);
            copy_async(at + (S::kRows + i * S::kRowsAtOnce) * kRowBytes, is ? rows[i] + tap * in + channel : weight,
                       is);
        }
        ++tap;
        offset += in;
        if (++column == side) {
            column = 0;
            offset += (width - side) * in;
        }
        if (tap == side * side) {
            tap = offset = 0;
            channel += kStep;
        }
    }
};

template <class S>
__device__ __forceinline__ void convolve(const Problem& p, const bf16* x, const bf16* weight, const Output& o) {
    extern __shared__ __align__(128) uint8_t shared[];
    const uint32_t base = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int first_row = warp / S::kAcross * S::kWarpRows, first_column = warp % S::kAcross * S::kWarpColumns;
    const uint32_t a_at = base + place(first_row + lane % 16, lane / 16);
    const uint32_t b_at = base + place(S::kRows + first_column + lane % 8 + lane / 16 * 8, lane / 8 % 2);

    const int2 begin = block_begin<S>(p);
    Gather<S> gather(p, begin, x, weight, base);
    const int steps = p.side() * p.side() * ((p.in + kStep - 1) / kStep);
#pragma unroll
    for (int i = 0; i < kStages - 1; ++i) {
        if (i < steps) gather.next(i);
        copies_commit();
    }
    float acc[S::kTiles][S::kPairs * 8] = {};
    int stage = 0, fill = kStages - 1;
    for (int step = 0; step < steps; ++step) {
        copies_wait<kStages - 2>();
        __syncthreads();  // this step is here, and nobody reads the one before it any more
        if (step + kStages - 1 < steps) gather.next(fill);
        copies_commit();
#pragma unroll
        for (int k = 0; k < kStep / 16; ++k) {
            uint32_t a[S::kTiles][4];
#pragma unroll
            for (int t = 0; t < S::kTiles; ++t)
                load_matrices(a[t], (a_at + stage * S::kStageBytes + 16 * t * kRowBytes) ^ (k << 5));
#pragma unroll
            for (int pair = 0; pair < S::kPairs; ++pair) {
                uint32_t b[4];
                load_matrices(b, (b_at + stage * S::kStageBytes + 16 * pair * kRowBytes) ^ (k << 5));
#pragma unroll
                for (int t = 0; t < S::kTiles; ++t) {
                    multiply_add(acc[t] + 8 * pair, a[t], b[0], b[1]);
                    multiply_add(acc[t] + 8 * pair + 4, a[t], b[2], b[3]);
                }
            }
        }
        stage = stage + 1 == kStages ? 0 : stage + 1;
        fill = fill + 1 == kStages ? 0 : fill + 1;
    }

    int pixels[S::kTiles][2];
#pragma unroll
    for (int t = 0; t < S::kTiles; ++t)
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            const int pixel = begin.x + first_row + 16 * t + 8 * r + lane / 4;
            pixels[t][r] = output_pixel(pixel / p.width, pixel % p.width, p.height, p.width, p.doubled, blockIdx.z);
        }
    write_pixels(acc, o, pixels, begin.y + first_column, lane);
}

// ---- few output channels ----

constexpr int kNarrowWarps = 8;
constexpr int kNarrow = 8;  // output channels at most: one fragment
constexpr int kSide = 16;   // output pixels of a tile's side, two rows a warp
constexpr int kHalo = kSide + 2;

__device__ __forceinline__ void convolve_narrow(const Problem& p, const bf16* x, const bf16* weight, const float* bias,
                                                float* out) {
    __shared__ __align__(128) uint8_t shared[(kHalo * kHalo + 9 * kNarrow) * kRowBytes];
    const uint32_t base = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
    const uint32_t weights = base + kHalo * kHalo * kRowBytes;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int top = blockIdx.y * kSide, left = blockIdx.x * kSide;
    float acc[2][4] = {};
    for (int channel = 0; channel < p.in; channel += kStep) {
        __syncthreads();  // nobody reads the channels before these any more
        for (int i = threadIdx.x; i < kHalo * kHalo * kRowChunks; i += kNarrowWarps * 32) {
            const int pixel = i / kRowChunks, chunk = i % kRowChunks, c = channel + chunk * kChunk;
            const int y = top + pixel / kHalo - 1, x0 = left + pixel % kHalo - 1;
            const bool inside = c < p.in && y >= 0 && y < p.height && x0 >= 0 && x0 < p.width;
            copy_async(base + place(pixel, chunk),
                       inside ? x + (static_cast<long long>(y) * p.width + x0) * p.in + c : x, inside);
        }
        for (int i = threadIdx.x; i < 9 * kNarrow * kRowChunks; i += kNarrowWarps * 32) {
            const int row = i / kRowChunks, chunk = i % kRowChunks, c = channel + chunk * kChunk;
            const int tap = row / kNarrow, o = row % kNarrow;
            const bool inside = c < p.in && o < p.channels;
            copy_async(weights + place(row, chunk), inside ? weight + (o * 9 + tap) * p.in + c : weight, inside);
        }
        copies_commit();
        copies_wait<0>();
        __syncthreads();
#pragma unroll
        for (int j = 0; j < 3; ++j) {
            uint32_t b[3][4];  // of the three taps in this column, both halves of the channels
#pragma unroll
            for (int i = 0; i < 3; ++i)
                load_matrices(b[i], weights + place((i * 3 + j) * kNarrow + lane % 8, lane / 8));
#pragma unroll
            for (int row = 0; row < 4; ++row) {
                const int pixel = (2 * warp + row) * kHalo + j + lane % 16;
#pragma unroll
                for (int k = 0; k < kStep / 16; ++k) {
                    uint32_t a[4];
                    load_matrices(a, base + place(pixel, 2 * k + lane / 16));
#pragma unroll
                    for (int r = 0; r < 2; ++r)
                        if (row - r >= 0 && row - r < 3)
                            multiply_add(acc[r], a, b[row - r][2 * k], b[row - r][2 * k + 1]);
                }
            }
        }
    }
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int y = top + 2 * warp + r, x0 = left + lane / 4 + i / 2 * 8, c = (lane & 3) * 2 + i % 2;
            if (y < p.height && x0 < p.width && c < p.channels)
                out[(static_cast<long long>(y) * p.width + x0) * p.channels + c] = acc[r][i] + bias[c];
        }
}

}  // namespace

#define CONV_SM80(name, Rows, Columns, WarpRows, WarpColumns)                                                         \
    extern "C" __global__ void __launch_bounds__(kThreads, 2)                                                         \
        name(const bf16* x, const bf16* weight, const float* bias, const bf16* residual, bf16* out, int height,       \
             int width, int in, int channels, int doubled) {                                                          \
        convolve<Shape<Rows, Columns, WarpRows, WarpColumns>>({height, width, in, channels, doubled != 0}, x, weight, \
                                                              {bias, residual, out, channels});                       \
    }

CONV_SM80(conv_sm80_128x128, 128, 128, 64, 64)
CONV_SM80(conv_sm80_128x64, 128, 64, 32, 64)
CONV_SM80(conv_sm80_64x32, 64, 32, 16, 32)

// out is [height, width, channels] fp32, channels at most 8.
extern "C" __global__ void __launch_bounds__(kNarrowWarps * 32)
    conv_sm80_narrow(const bf16* x, const bf16* weight, const float* bias, float* out, int height, int width, int in,
                     int channels) {
    convolve_narrow({height, width, in, channels, false}, x, weight, bias, out);
}
