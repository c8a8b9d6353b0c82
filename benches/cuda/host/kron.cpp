// kron.cu on the CPU, against plain sums over the whole Kronecker product.
#include "kron.cu"

#include "reference.h"

namespace {

struct Sides {
    int rows, o1, i1, o2, i2;
};

void check(const char* name, const Sides& s, double error, double limit) {
    const bool good = error < limit;
    failures += !good;
    std::printf("%s %-16s %d rows, (%dx%d) x (%dx%d): %.1e\n", good ? "ok  " : "FAIL", name, s.rows, s.o1, s.i1, s.o2, s.i2,
                error);
}

void kron(const Sides& s, bool fp8) {
    const int inner = s.i1 * s.i2, gap = 8, padded = (s.o1 + 7) / 8 * 8;
    const auto left = random_halves(s.o1 * s.i1), right = random_halves(s.o2 * s.i2);
    std::vector<half16> turned(s.i1 * padded, __float2bfloat16(0.f));
    for (int a = 0; a < s.o1; ++a)
        for (int c = 0; c < s.i1; ++c) turned[c * padded + a] = left[a * s.i1 + c];
    auto x = random_halves(size_t(s.rows) * (inner + gap));
    std::vector<uint8_t> narrow(x.size());
    std::vector<float> scales(s.rows), values(x.size());
    for (int r = 0; r < s.rows; ++r) {
        scales[r] = 0.01f * (r + 1);
        for (int at = r * (inner + gap); at < (r + 1) * (inner + gap); ++at) {
            narrow[at] = generator() % 127 | (generator() & 128);
            const float2 both = from_fp8(narrow[at]);
            values[at] = fp8 ? both.x * scales[r] : float(x[at]);
        }
    }
    auto between = poisoned(size_t(s.rows) * s.o1 * s.i2 + 8);
    const int threads = 64, blocks = (s.rows * s.i2 / 8 + threads - 1) / threads;
    host::launch(dim3(blocks, (s.o1 + 7) / 8), threads, [&] {
        if (fp8)
            kron_left_fp8(narrow.data(), inner + gap, scales.data(), turned.data(), between.data(), s.rows, s.o1, s.i1, s.i2);
        else
            kron_left_bf16(x.data(), inner + gap, turned.data(), between.data(), s.rows, s.o1, s.i1, s.i2);
    });
    for (int i = 0; i < 8; ++i) failures += !std::isnan(float(between[between.size() - 1 - i]));
    // What the library's product gives, in bf16, added where y has gaps.
    std::vector<half16> product(size_t(s.rows) * s.o1 * s.o2);
    for (int row = 0; row < s.rows * s.o1; ++row)
        for (int b = 0; b < s.o2; ++b) {
            double sum = 0;
            for (int d = 0; d < s.i2; ++d) sum += double(float(between[row * s.i2 + d])) * float(right[b * s.i2 + d]);
            product[row * s.o2 + b] = __float2bfloat16(sum);
        }
    const int out = s.o1 * s.o2;
    auto y = random_halves(size_t(s.rows) * (out + gap));
    const auto before = y;
    host::launch(dim3(3), 64, [&] { add_rows(y.data(), out + gap, product.data(), s.rows, out); });
    double off = 0, all = 0;
    for (int r = 0; r < s.rows; ++r)
        for (int o = 0; o < out + gap; ++o) {
            double sum = float(before[r * (out + gap) + o]);
            for (int i = 0; i < inner && o < out; ++i)
                sum += double(float(left[o / s.o2 * s.i1 + i / s.i2])) * float(right[o % s.o2 * s.i2 + i % s.i2]) *
                       values[r * (inner + gap) + i];
            const double d = float(y[r * (out + gap) + o]) - sum;
            off += d * d, all += sum * sum;
        }
    check(fp8 ? "kron fp8" : "kron bf16", s, std::sqrt(off / all), 5e-3);
}

}  // namespace

int main() {
    for (const bool fp8 : {false, true}) {
        kron({5, 8, 8, 16, 24}, fp8);
        kron({3, 4, 16, 40, 8}, fp8);
        kron({2, 19, 3, 8, 16}, fp8);
        kron({7, 1, 1, 64, 48}, fp8);
    }
    std::printf("%s\n", failures ? "FAILED" : "all passed");
    return failures != 0;
}
