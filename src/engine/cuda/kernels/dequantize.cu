// Quantised weights to bf16, a piece at a time just before its product: ggml's blocks and bitsandbytes' NF4, each with
// its magnitude before it. The fp32 value is the CPU's (`engine/weights/blocks.rs`) bit for bit: products and sums are
// rounded one by one, never fused. It is then rounded to bf16.
//
// A thread makes 8 values, which share a scale in every type, and writes them at once: 16 bytes. From 2.6 to 8.5 bits a
// value come in and 16 go out, so writing bounds it. Plain references: benches/cuda/host/dequantize.cpp.
#include <cuda_fp16.h>

#include "values.cuh"

namespace {

__device__ __forceinline__ float half_at(const uint8_t* block, int at) {
    return __half2float(__ushort_as_half(*reinterpret_cast<const unsigned short*>(block + at)));
}

// The lower halves of 16 bytes are 16 values, the upper halves the next 16.
__device__ __forceinline__ int nibble(const uint8_t* packed, int i) { return packed[i % 16] >> (i / 16 * 4) & 15; }

struct Q8_0 {
    static constexpr int values = 32, bytes = 34;
    static __device__ void eight(const uint8_t* block, int first, float (&out)[kChunk]) {
        const float d = half_at(block, 0);
        for (int i = 0; i < kChunk; ++i) out[i] = __fmul_rn(d, static_cast<int8_t>(block[2 + first + i]));
    }
};

struct Q4_0 {
    static constexpr int values = 32, bytes = 18;
    static __device__ void eight(const uint8_t* block, int first, float (&out)[kChunk]) {
        const float d = half_at(block, 0);
        for (int i = 0; i < kChunk; ++i) out[i] = __fmul_rn(d, nibble(block + 2, first + i) - 8);
    }
};

struct Q4_1 {
    static constexpr int values = 32, bytes = 20;
    static __device__ void eight(const uint8_t* block, int first, float (&out)[kChunk]) {
        const float d = half_at(block, 0), m = half_at(block, 2);
        for (int i = 0; i < kChunk; ++i) out[i] = __fadd_rn(__fmul_rn(d, nibble(block + 4, first + i)), m);
    }
};

struct Q5_0 {
    static constexpr int values = 32, bytes = 22;
    static __device__ void eight(const uint8_t* block, int first, float (&out)[kChunk]) {
        const float d = half_at(block, 0);
        const int high = block[2 + first / 8];
        for (int i = 0; i < kChunk; ++i)
            out[i] = __fmul_rn(d, (nibble(block + 6, first + i) | (high >> i & 1) << 4) - 16);
    }
};

struct Q5_1 {
    static constexpr int values = 32, bytes = 24;
    static __device__ void eight(const uint8_t* block, int first, float (&out)[kChunk]) {
        const float d = half_at(block, 0), m = half_at(block, 2);
        const int high = block[4 + first / 8];
        for (int i = 0; i < kChunk; ++i)
            out[i] = __fadd_rn(__fmul_rn(d, nibble(block + 8, first + i) | (high >> i & 1) << 4), m);
    }
};

// Of types with 2 bits a value in 64 bytes: the byte of a value, and the place in it of the group's bits.
__device__ __forceinline__ int pair_byte(int first) { return first / 128 * 32 + first % 32; }
__device__ __forceinline__ int pair_shift(int first) { return first % 128 / 32 * 2; }

struct Q2K {
    static constexpr int values = 256, bytes = 84;
    static __device__ void eight(const uint8_t* block, int first, float (&out)[kChunk]) {
        const int scale = block[first / 16], shift = pair_shift(first);
        const float d = __fmul_rn(half_at(block, 80), scale & 15), m = __fmul_rn(half_at(block, 82), scale >> 4);
        const uint8_t* packed = block + 16 + pair_byte(first);
        for (int i = 0; i < kChunk; ++i) out[i] = __fsub_rn(__fmul_rn(d, packed[i] >> shift & 3), m);
    }
};

struct Q3K {
    static constexpr int values = 256, bytes = 110;
    static __device__ void eight(const uint8_t* block, int first, float (&out)[kChunk]) {
        const int group = first / 16, shift = pair_shift(first);
        const uint8_t* scales = block + 96;
        const int scale = (scales[group % 8] >> (group / 8 * 4) & 15) | (scales[8 + group % 4] >> (group / 4 * 2) & 3) << 4;
        const float d = __fmul_rn(half_at(block, 108), scale - 32);
        const uint8_t *high = block + first % 32, *packed = block + 32 + pair_byte(first);
        for (int i = 0; i < kChunk; ++i) {
            const int q = (packed[i] >> shift & 3) - (high[i] >> (first / 32) & 1 ? 0 : 4);
            out[i] = __fmul_rn(d, q);
        }
    }
};

// Scale and least value of the 32 values of a group, 6 bits each, out of 12 bytes for eight groups.
__device__ __forceinline__ int2 scale_and_least(const uint8_t* scales, int group) {
    if (group < 4) return make_int2(scales[group] & 63, scales[group + 4] & 63);
    const int both = scales[group + 4];
    return make_int2((both & 15) | scales[group - 4] >> 6 << 4, both >> 4 | scales[group] >> 6 << 4);
}

struct Q4K {
    static constexpr int values = 256, bytes = 144;
    static __device__ void eight(const uint8_t* block, int first, float (&out)[kChunk]) {
        const int group = first / 32, shift = group % 2 * 4;
        const int2 scale = scale_and_least(block + 4, group);
        const float d = __fmul_rn(half_at(block, 0), scale.x), m = __fmul_rn(half_at(block, 2), scale.y);
        const uint8_t* packed = block + 16 + group / 2 * 32 + first % 32;
        for (int i = 0; i < kChunk; ++i) out[i] = __fsub_rn(__fmul_rn(d, packed[i] >> shift & 15), m);
    }
};

struct Q5K {
    static constexpr int values = 256, bytes = 176;
    static __device__ void eight(const uint8_t* block, int first, float (&out)[kChunk]) {
        const int group = first / 32, shift = group % 2 * 4;
        const int2 scale = scale_and_least(block + 4, group);
        const float d = __fmul_rn(half_at(block, 0), scale.x), m = __fmul_rn(half_at(block, 2), scale.y);
        const uint8_t *high = block + 16 + first % 32, *packed = block + 48 + group / 2 * 32 + first % 32;
        for (int i = 0; i < kChunk; ++i) {
            const int q = (packed[i] >> shift & 15) | (high[i] >> group & 1) << 4;
            out[i] = __fsub_rn(__fmul_rn(d, q), m);
        }
    }
};

struct Q6K {
    static constexpr int values = 256, bytes = 210;
    static __device__ void eight(const uint8_t* block, int first, float (&out)[kChunk]) {
        const float d = __fmul_rn(half_at(block, 208), static_cast<int8_t>(block[192 + first / 16]));
        const int part = first / 128, within = first % 128;
        const uint8_t *packed = block + part * 64 + within % 64, *high = block + 128 + part * 32 + within % 32;
        for (int i = 0; i < kChunk; ++i) {
            const int q = (packed[i] >> (within / 64 * 4) & 15) | (high[i] >> (within / 32 * 2) & 3) << 4;
            out[i] = __fmul_rn(d, q - 32);
        }
    }
};

struct NF4 {
    static constexpr int values = 64, bytes = 36;
    static __device__ void eight(const uint8_t* block, int first, float (&out)[kChunk]) {
        const float levels[16] = {-1.f,          -0.6961928f,  -0.52507305f, -0.3949175f, -0.28444138f, -0.18477343f,
                                  -0.091050036f, 0.f,          0.0795803f,   0.1609302f,  0.2461123f,   0.33791524f,
                                  0.44070983f,   0.562617f,    0.72295684f,  1.f};
        const float magnitude = *reinterpret_cast<const float*>(block);
        for (int i = 0; i < kChunk; ++i) {
            const int pair = block[4 + (first + i) / 2];  // the first of two is in the upper half
            out[i] = __fmul_rn(levels[i % 2 ? pair & 15 : pair >> 4], magnitude);
        }
    }
};

template <class Block>
__device__ void dequantize(const uint8_t* blocks, bf16* out, long long chunks) {
    constexpr int per_block = Block::values / kChunk;
    const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < chunks; i += step) {
        float v[kChunk];
        Block::eight(blocks + i / per_block * Block::bytes, static_cast<int>(i % per_block) * kChunk, v);
        store8(out + i * kChunk, v);
    }
}

}  // namespace

extern "C" {

// `blocks` begin on a multiple of 2 bytes, NF4's of 4, and follow one another without gaps; `chunks` is an eighth of their values.
// Grid: a line of any length.
#define DEQUANTIZE(name, Block)                                                              \
    __global__ void name(const uint8_t* blocks, bf16* out, long long chunks) {              \
        dequantize<Block>(blocks, out, chunks);                                              \
    }

DEQUANTIZE(dequantize_q8_0, Q8_0)
DEQUANTIZE(dequantize_q4_0, Q4_0)
DEQUANTIZE(dequantize_q4_1, Q4_1)
DEQUANTIZE(dequantize_q5_0, Q5_0)
DEQUANTIZE(dequantize_q5_1, Q5_1)
DEQUANTIZE(dequantize_q2_k, Q2K)
DEQUANTIZE(dequantize_q3_k, Q3K)
DEQUANTIZE(dequantize_q4_k, Q4K)
DEQUANTIZE(dequantize_q5_k, Q5K)
DEQUANTIZE(dequantize_q6_k, Q6K)
DEQUANTIZE(dequantize_nf4, NF4)

}  // extern "C"
