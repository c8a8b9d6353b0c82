// merge.cu on the CPU, against plain sums, the bits that Philox's authors publish, and what stochastic rounding promises.
#include "merge.cu"

#include "reference.h"

namespace {

void told(const char* name, bool good, double number) {
    failures += !good;
    std::printf("%s %-44s %.2e\n", good ? "ok  " : "FAIL", name, number);
}

float wide(uint32_t bits) {
    return from_fp8(bits).x;
}

void generator_is_philox() {
    // Salmon et al. 2011's own vectors, of counter and key 0.
    const Four zero = philox(0, 0, 0, 0);
    const uint32_t wanted[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    int wrong = 0;
    for (int i = 0; i < 4; ++i) wrong += zero.x[i] != wanted[i];
    told("Philox4x32-10: words that differ", wrong == 0, wrong);
}

void numbers_of_e4m3_stay() {
    int wrong = 0;
    for (uint32_t bits = 0; bits < 256; ++bits) {
        if (bits % 128 == 127) continue;  // NaN
        for (const float scale : {1.f, 0.3f, 0.0123f, 7.7e-4f})
            for (const uint32_t random : {0u, 1u, 0x7fffffffu, 0xffffffffu})
                wrong += stochastic(wide(bits) * scale / scale, random) != bits;
    }
    told("numbers of e4m3 that do not stay", wrong == 0, wrong);
}

void means_are_right() {
    double worst = 0;
    int apart = 0;
    for (int i = 0; i < 200; ++i) {
        const float x = std::normal_distribution<float>()(generator) * std::exp2(float(int(generator() % 16)) - 8);
        if (std::fabs(x) > 448) continue;
        const int count = 20000;
        double sum = 0;
        float low = 1e9f, high = -1e9f;
        for (int n = 0; n < count / 4; ++n) {
            const Four random = philox(n, i, 7, 9);
            for (const uint32_t word : random.x) {
                const float y = wide(stochastic(x, word));
                sum += y, low = std::fmin(low, y), high = std::fmax(high, y);
            }
        }
        // A step of e4m3 at x; the mean's deviation is at most half a step by the root of the number.
        const float step = std::exp2(std::fmax(std::floor(std::log2(std::fabs(x))), -6.f) - 3);
        worst = std::fmax(worst, std::fabs(sum / count - x) / (step / 2 / std::sqrt(double(count))));
        apart += low > x || high < x || high - low > 2 * step;
    }
    told("the mean's distance, in its deviations (5)", worst < 5, worst);
    told("values that are not one of two neighbours", apart == 0, apart);
}

std::vector<double> changed(const std::vector<float>& w, int rows, int width, const std::vector<float>& up, int stride,
                            const std::vector<float>& down, int ranks) {
    std::vector<double> out(w.begin(), w.end());
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < width; ++c)
            for (int k = 0; k < ranks; ++k) out[r * width + c] += double(up[k * stride + r]) * down[k * width + c];
    return out;
}

double apart(const std::vector<float>& ours, const std::vector<double>& theirs) {
    double off = 0, all = 0;
    for (size_t i = 0; i < theirs.size(); ++i) off += std::pow(ours[i] - theirs[i], 2), all += theirs[i] * theirs[i];
    return std::sqrt(off / all);
}

void low(int rows, int width, int ranks) {
    const int stride = rows + 5;
    auto w = random_floats(rows * width);
    const auto up = random_floats(ranks * stride), down = random_floats(ranks * width);
    const auto expected = changed(w, rows, width, up, stride, down, ranks);
    host::launch(dim3((width / 4 + 127) / 128, (rows + 15) / 16), 128,
                 [&] { merge_low(w.data(), up.data(), stride, down.data(), rows, width, ranks); });
    told("merge_low", apart(w, expected) < 1e-6, apart(w, expected));
}

void kron(int first, int rows, int o1, int i1, int o2, int i2) {
    const int width = i1 * i2;
    auto w = random_floats(rows * width);
    const auto left = random_floats(o1 * i1), right = random_floats(o2 * i2);
    std::vector<double> expected(w.begin(), w.end());
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < width; ++c)
            expected[r * width + c] +=
                double(left[(first + r) / o2 * i1 + c / i2]) * right[(first + r) % o2 * i2 + c % i2];
    host::launch(dim3(3), 64, [&] { merge_kron(w.data(), left.data(), right.data(), first, rows, width, o2, i2); });
    told("merge_kron", apart(w, expected) < 1e-6, apart(w, expected));
}

// A whole layer in fp8, in one piece and in two: begun, changed and ended.
void layer(float size) {
    const int rows = 24, width = 512, ranks = 3;
    std::vector<uint8_t> weight(rows * width);
    std::vector<float> scales(rows), before(rows * width), w(rows * width), factors(rows, 0), columns(width, 0);
    for (uint8_t& bits : weight) bits = generator() % 0x78 | (generator() & 128);
    for (int r = 0; r < rows; ++r) scales[r] = 0.001f * (r + 1);
    for (int i = 0; i < rows * width; ++i) before[i] = wide(weight[i]) * scales[i / width];
    factors[3] = 0.25f, columns[40] = -0.5f;
    std::vector<float> expected = before;
    const auto up = random_floats(ranks * rows, size), down = random_floats(ranks * width);
    for (int c = 0; c < width; ++c) expected[3 * width + c] *= 1.25f;
    for (int r = 0; r < rows; ++r) expected[r * width + 40] += before[r * width + 40] * -0.5f;
    const auto sums = changed(expected, rows, width, up, rows, down, ranks);
    const auto old = weight;
    const auto old_scales = scales;
    std::vector<std::vector<uint8_t>> ways;
    for (const int piece : {rows, 7}) {
        weight = old, scales = old_scales;
        for (int first = 0; first < rows; first += piece) {
            const int count = std::min(piece, rows - first);
            uint8_t* at = weight.data() + first * width;
            const float* row_scales = scales.data() + first;
            host::launch(dim3(2), 64, [&] { merge_begin_fp8(at, row_scales, factors.data() + first, w.data(), count, width); });
            host::launch(dim3(2), 64, [&] { merge_columns_fp8(at, row_scales, columns.data(), w.data(), count, width); });
            host::launch(dim3(1, (count + 15) / 16), 128,
                         [&] { merge_low(w.data(), up.data() + first, rows, down.data(), count, width, ranks); });
            host::launch(dim3(count), 64, [&] { merge_end_fp8(w.data(), at, scales.data() + first, 12345, first, width); });
        }
        ways.push_back(weight);
    }
    told("the same bits in pieces", ways[0] == ways[1], 0);
    double worst = 0, mean = 0, all = 0;
    int stayed = 0;
    for (int i = 0; i < rows * width; ++i) {
        const float scale = scales[i / width], x = sums[i] / scale, y = wide(weight[i]);
        const float step = std::exp2(std::fmax(std::floor(std::log2(std::fabs(x))), -6.f) - 3);
        worst = std::fmax(worst, std::fabs(x - y) / step);
        mean += y * scale - sums[i], all += std::fabs(sums[i] - before[i]);
        stayed += y * scale == before[i];
    }
    int odd = 0;
    for (int r = 0; r < rows; ++r) {
        float top = 0;
        for (int c = 0; c < width; ++c) top = std::fmax(top, std::fabs(wide(weight[r * width + c])));
        odd += top < 208;  // 448 / 2, rounded down
    }
    told("rows that leave half of e4m3 unused", odd == 0, odd), odd = 0;
    for (int r = 0; r < rows; ++r) odd += std::exp2(std::round(std::log2(scales[r] / old_scales[r]))) != scales[r] / old_scales[r];
    told("a layer in fp8: steps from its sum (1)", worst < 1.001, worst);
    told("rows whose scale is not a power of two of it", odd == 0, odd);
    if (size == 0) {
        told("weights that are changed (535 are asked for)", stayed >= rows * width - width - rows, rows * width - stayed);
        return;
    }
    told("what all are off by, of what is changed", std::fabs(mean) / all < 0.05, std::fabs(mean) / all);
}

void bf16_is_rounded_once() {
    const int count = 3, width = 64;
    const auto weight = random_halves(count * width);
    const auto more = random_floats(count * width, 0.01f);
    std::vector<float> w(count * width);
    auto out = poisoned(count * width);
    host::launch(dim3(2), 32, [&] { merge_begin_bf16(weight.data(), nullptr, w.data(), count, width); });
    host::launch(dim3(2), 32, [&] { merge_add(w.data(), more.data(), count * width); });
    host::launch(dim3(2), 32, [&] { merge_end_bf16(w.data(), out.data(), count * width); });
    int wrong = 0;
    for (int i = 0; i < count * width; ++i) wrong += float(out[i]) != float(__float2bfloat16(float(weight[i]) + more[i]));
    told("a layer in bf16: values that are not the nearest", wrong == 0, wrong);
}

}  // namespace

int main() {
    generator_is_philox();
    numbers_of_e4m3_stay();
    means_are_right();
    low(16, 512, 16);
    low(21, 136, 70);
    low(3, 1024, 1);
    kron(0, 12, 3, 4, 4, 8);
    kron(5, 7, 4, 2, 6, 12);
    layer(0);
    layer(0.002f);
    layer(2.f);
    bf16_is_rounded_once();
    std::printf("%s\n", failures ? "FAILED" : "all passed");
    return failures != 0;
}
