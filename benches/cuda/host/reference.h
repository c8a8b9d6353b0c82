// What the host checks share: random bf16 values, plain convolutions, comparisons.
#pragma once
#include <cmath>
#include <random>

#include "device.h"

using half16 = __nv_bfloat16;

inline std::mt19937 generator(7);

inline std::vector<half16> random_halves(size_t count, float scale = 1) {
    std::normal_distribution<float> normal;
    std::vector<half16> out(count);
    for (half16& v : out) v = __float2bfloat16(normal(generator) * scale);
    return out;
}

inline std::vector<float> random_floats(size_t count, float scale = 1) {
    std::normal_distribution<float> normal;
    std::vector<float> out(count);
    for (float& v : out) v = normal(generator) * scale;
    return out;
}

inline std::vector<half16> poisoned(size_t count) {
    std::vector<half16> out(count);
    std::memset(out.data(), 0xff, count * 2);
    return out;
}

struct ConvShape {
    int height, width, in, out;
    bool doubled, residual;
};

// `weight` is [out, in, 3, 3]; x is doubled first where asked.
inline std::vector<float> plain_conv(const ConvShape& s, const std::vector<half16>& x,
                                     const std::vector<half16>& weight, const std::vector<float>& bias,
                                     const std::vector<half16>& residual) {
    const int f = s.doubled ? 2 : 1, height = s.height * f, width = s.width * f;
    std::vector<float> out(size_t(height) * width * s.out);
    for (int y = 0; y < height; ++y)
        for (int x0 = 0; x0 < width; ++x0)
            for (int o = 0; o < s.out; ++o) {
                const size_t at = (size_t(y) * width + x0) * s.out + o;
                double sum = bias[o] + (s.residual ? float(residual[at]) : 0);
                for (int i = 0; i < 3; ++i)
                    for (int j = 0; j < 3; ++j) {
                        const int ty = y + i - 1, tx = x0 + j - 1;
                        if (ty < 0 || ty >= height || tx < 0 || tx >= width) continue;
                        const half16* pixel = &x[(size_t(ty / f) * s.width + tx / f) * s.in];
                        for (int c = 0; c < s.in; ++c)
                            sum += double(float(pixel[c])) * float(weight[(size_t(o) * s.in + c) * 9 + i * 3 + j]);
                    }
                out[at] = sum;
            }
    return out;
}

// As pack_conv and pack_doubled do.
inline std::vector<half16> packed(const ConvShape& s, const std::vector<half16>& weight) {
    std::vector<half16> out;
    for (int phase = 0; phase < (s.doubled ? 4 : 1); ++phase)
        for (int o = 0; o < s.out; ++o)
            for (int tap = 0; tap < (s.doubled ? 4 : 9); ++tap)
                for (int c = 0; c < s.in; ++c) {
                    const half16* from = &weight[(size_t(o) * s.in + c) * 9];
                    float sum = 0;
                    for (int i = 0; i < 3; ++i)
                        for (int j = 0; j < 3; ++j) {
                            // Which of the two input rows kernel row i meets: (i + parity - 1) / 2 rounded down, + 1 -
                            // parity.
                            const auto meets = [](int i, int odd) { return (i + odd + 1) / 2 - odd; };
                            if (s.doubled ? meets(i, phase / 2) == tap / 2 && meets(j, phase % 2) == tap % 2
                                          : i * 3 + j == tap)
                                sum += float(from[i * 3 + j]);
                        }
                    out.push_back(__float2bfloat16(sum));
                }
    return out;
}

template <class T>
double relative_error(const std::vector<T>& out, const std::vector<float>& expected) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        const double d = double(float(out[i])) - expected[i];
        difference += d * d;
        norm += double(expected[i]) * expected[i];
    }
    return std::sqrt(difference / norm);
}

inline int failures = 0;

inline void expect(const char* name, const ConvShape& s, double error, double limit = 5e-3) {
    const bool good = error < limit;
    failures += !good;
    std::printf("%s %-22s %3dx%-3d %3d -> %-3d%s%s: %.2e\n", good ? "ok  " : "FAIL", name, s.height, s.width, s.in,
                s.out, s.doubled ? " doubled" : "", s.residual ? " residual" : "", error);
}
