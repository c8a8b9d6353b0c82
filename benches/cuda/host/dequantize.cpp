// dequantize.cu on the CPU, against plain loops in the order that the formats' descriptions have: a block's values from
// first to last as its bytes give them.
#include "dequantize.cu"

#include <string>

#include "reference.h"

namespace {

float half_of(const uint8_t* at) {
    unsigned short bits;
    std::memcpy(&bits, at, 2);
    return __half2float(__ushort_as_half(bits));
}

void plain_q8_0(const uint8_t* b, float* y) {
    for (int i = 0; i < 32; ++i) y[i] = half_of(b) * int8_t(b[2 + i]);
}
void plain_q4_0(const uint8_t* b, float* y) {
    for (int i = 0; i < 16; ++i) {
        y[i] = half_of(b) * ((b[2 + i] & 15) - 8);
        y[i + 16] = half_of(b) * ((b[2 + i] >> 4) - 8);
    }
}
void plain_q4_1(const uint8_t* b, float* y) {
    for (int i = 0; i < 16; ++i) {
        y[i] = half_of(b) * (b[4 + i] & 15) + half_of(b + 2);
        y[i + 16] = half_of(b) * (b[4 + i] >> 4) + half_of(b + 2);
    }
}
uint32_t word(const uint8_t* at) {
    uint32_t bits;
    std::memcpy(&bits, at, 4);
    return bits;
}
void plain_q5_0(const uint8_t* b, float* y) {
    for (int i = 0; i < 16; ++i) {
        y[i] = half_of(b) * (int(b[6 + i] % 16 + 16 * (word(b + 2) >> i & 1)) - 16);
        y[i + 16] = half_of(b) * (int(b[6 + i] / 16 + 16 * (word(b + 2) >> (i + 16) & 1)) - 16);
    }
}
void plain_q5_1(const uint8_t* b, float* y) {
    for (int i = 0; i < 16; ++i) {
        y[i] = half_of(b) * int(b[8 + i] % 16 + 16 * (word(b + 4) >> i & 1)) + half_of(b + 2);
        y[i + 16] = half_of(b) * int(b[8 + i] / 16 + 16 * (word(b + 4) >> (i + 16) & 1)) + half_of(b + 2);
    }
}
void plain_q2_k(const uint8_t* b, float* y) {
    const uint8_t *scale = b, *q = b + 16;
    for (int half = 0; half < 2; ++half, q += 32)
        for (int shift = 0; shift < 8; shift += 2)
            for (int part = 0; part < 2; ++part, ++scale) {
                const float d = half_of(b + 80) * (*scale % 16), m = half_of(b + 82) * (*scale / 16);
                for (int l = 0; l < 16; ++l) *y++ = d * (q[16 * part + l] >> shift & 3) - m;
            }
}
void plain_q3_k(const uint8_t* b, float* y) {
    const uint8_t *high = b, *q = b + 32, *packed = b + 96;
    int scales[16];
    for (int i = 0; i < 4; ++i) {  // four bytes of low bits, four more, and four of the bits above
        scales[i] = packed[i] % 16 + 16 * (packed[8 + i] & 3);
        scales[i + 4] = packed[i + 4] % 16 + 16 * (packed[8 + i] >> 2 & 3);
        scales[i + 8] = packed[i] / 16 + 16 * (packed[8 + i] >> 4 & 3);
        scales[i + 12] = packed[i + 4] / 16 + 16 * (packed[8 + i] >> 6);
    }
    const int* scale = scales;
    int mask = 1;
    for (int half = 0; half < 2; ++half, q += 32)
        for (int shift = 0; shift < 8; shift += 2, mask *= 2)
            for (int part = 0; part < 2; ++part, ++scale)
                for (int l = 16 * part; l < 16 * part + 16; ++l)
                    *y++ = half_of(b + 108) * (*scale - 32) * ((q[l] >> shift & 3) - (high[l] & mask ? 0 : 4));
}
// 6 bits each: eight scales, then eight least values.
void six_bits(const uint8_t* p, int (&scale)[8], int (&least)[8]) {
    for (int i = 0; i < 4; ++i) {
        scale[i] = p[i] % 64, least[i] = p[i + 4] % 64;
        scale[i + 4] = p[i + 8] % 16 + p[i] / 64 * 16, least[i + 4] = p[i + 8] / 16 + p[i + 4] / 64 * 16;
    }
}
void plain_q4_k(const uint8_t* b, float* y) {
    int scale[8], least[8];
    six_bits(b + 4, scale, least);
    for (int group = 0; group < 8; ++group)
        for (int l = 0; l < 32; ++l) {
            const int byte = b[16 + group / 2 * 32 + l];
            *y++ = half_of(b) * scale[group] * (group % 2 ? byte / 16 : byte % 16) - half_of(b + 2) * least[group];
        }
}
void plain_q5_k(const uint8_t* b, float* y) {
    int scale[8], least[8];
    six_bits(b + 4, scale, least);
    for (int group = 0; group < 8; ++group)
        for (int l = 0; l < 32; ++l) {
            const int byte = b[48 + group / 2 * 32 + l], high = b[16 + l] & 1 << group ? 16 : 0;
            *y++ = half_of(b) * scale[group] * ((group % 2 ? byte / 16 : byte % 16) + high) -
                   half_of(b + 2) * least[group];
        }
}
void plain_q6_k(const uint8_t* b, float* y) {
    const uint8_t *low = b, *high = b + 128;
    const int8_t* scale = reinterpret_cast<const int8_t*>(b + 192);
    const float d = half_of(b + 208);
    for (int half = 0; half < 2; ++half, low += 64, high += 32, scale += 8, y += 128)
        for (int l = 0; l < 32; ++l) {
            y[l] = d * scale[l / 16] * (low[l] % 16 + (high[l] & 3) * 16 - 32);
            y[l + 32] = d * scale[2 + l / 16] * (low[l + 32] % 16 + (high[l] >> 2 & 3) * 16 - 32);
            y[l + 64] = d * scale[4 + l / 16] * (low[l] / 16 + (high[l] >> 4 & 3) * 16 - 32);
            y[l + 96] = d * scale[6 + l / 16] * (low[l + 32] / 16 + (high[l] >> 6) * 16 - 32);
        }
}
void plain_nf4(const uint8_t* b, float* y) {
    // bitsandbytes' quant_map, to all its digits.
    const double map[16] = {-1.0,
                            -0.6961928009986877,
                            -0.5250730514526367,
                            -0.39491748809814453,
                            -0.28444138169288635,
                            -0.18477343022823334,
                            -0.09105003625154495,
                            0.0,
                            0.07958029955625534,
                            0.16093020141124725,
                            0.24611230194568634,
                            0.33791524171829224,
                            0.44070982933044434,
                            0.5626170039176941,
                            0.7229568362236023,
                            1.0};
    float magnitude;
    std::memcpy(&magnitude, b, 4);
    for (int i = 0; i < 32; ++i) {
        *y++ = float(map[b[4 + i] / 16]) * magnitude;
        *y++ = float(map[b[4 + i] % 16]) * magnitude;
    }
}

template <class Kernel, class Plain>
void check(const char* name, Kernel kernel, Plain plain, int values, int bytes, std::vector<int> halves) {
    const int count = 37;
    std::vector<uint8_t> blocks(count * bytes);
    for (uint8_t& byte : blocks) byte = generator();
    std::normal_distribution<float> normal;
    for (int i = 0; i < count; ++i) {
        for (int at : halves) {
            const __half number = __float2half(normal(generator) * 0.01f);
            std::memcpy(&blocks[i * bytes + at], &number, 2);
        }
        const float magnitude = 0.1f + i;
        if (halves.empty()) std::memcpy(&blocks[i * bytes], &magnitude, 4);
    }
    std::vector<float> wanted(count * values);
    for (int i = 0; i < count; ++i) plain(&blocks[i * bytes], &wanted[i * values]);
    auto out = poisoned(count * values + 8);
    host::launch(dim3(2), 32, [&] { kernel(blocks.data(), out.data(), count * values / 8); });
    int wrong = 0;
    for (size_t i = 0; i < wanted.size(); ++i) wrong += float(out[i]) != float(__float2bfloat16(wanted[i]));
    for (size_t i = wanted.size(); i < out.size(); ++i) wrong += !std::isnan(float(out[i]));
    std::printf("%s dequantize_%s: %d of %zu differ\n", wrong ? "FAIL" : "ok  ", name, wrong, wanted.size());
    failures += wrong != 0;
}

}  // namespace

int main() {
    check("q8_0", dequantize_q8_0, plain_q8_0, 32, 34, {0});
    check("q4_0", dequantize_q4_0, plain_q4_0, 32, 18, {0});
    check("q4_1", dequantize_q4_1, plain_q4_1, 32, 20, {0, 2});
    check("q5_0", dequantize_q5_0, plain_q5_0, 32, 22, {0});
    check("q5_1", dequantize_q5_1, plain_q5_1, 32, 24, {0, 2});
    check("q2_k", dequantize_q2_k, plain_q2_k, 256, 84, {80, 82});
    check("q3_k", dequantize_q3_k, plain_q3_k, 256, 110, {108});
    check("q4_k", dequantize_q4_k, plain_q4_k, 256, 144, {0, 2});
    check("q5_k", dequantize_q5_k, plain_q5_k, 256, 176, {0, 2});
    check("q6_k", dequantize_q6_k, plain_q6_k, 256, 210, {208});
    check("nf4", dequantize_nf4, plain_nf4, 64, 36, {});
    std::printf("%s\n", failures ? "FAILED" : "all passed");
    return failures != 0;
}
