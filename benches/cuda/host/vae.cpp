// vae.cu on the CPU.
#include "vae.cu"  // with its shared memory in host::arena: see run.sh
#include "reference.h"

namespace {

void expect(const char* name, double error, double limit) {
    const bool good = error < limit;
    failures += !good;
    std::printf("%s %s: %.2e\n", good ? "ok  " : "FAIL", name, error);
}

void check_norm(int pixels, int channels, int run, int threads) {
    auto x = random_halves(size_t(pixels) * channels, 2);
    for (half16& v : x) v = float(v) + 3.f;
    const auto weight = random_floats(channels), bias = random_floats(channels);
    const int each = channels / 32, runs = (pixels + run - 1) / run;
    std::vector<float> plain(x.size()), smooth(x.size());
    for (int g = 0; g < 32; ++g) {
        double mean = 0, variance = 0;
        const auto over = [&](auto f) {
            for (int p = 0; p < pixels; ++p)
                for (int c = g * each; c < (g + 1) * each; ++c) f(size_t(p) * channels + c, c);
        };
        over([&](size_t at, int) { mean += float(x[at]) / (double(pixels) * each); });
        over([&](size_t at, int) { variance += std::pow(float(x[at]) - mean, 2) / (double(pixels) * each); });
        over([&](size_t at, int c) {
            plain[at] = (float(x[at]) - mean) / std::sqrt(variance + 1e-6) * weight[c] + bias[c];
            smooth[at] = plain[at] / (1 + std::exp(-plain[at]));
        });
    }
    std::vector<float> partials(runs * 64, NAN);
    std::vector<float2> affine(channels);
    auto applied = poisoned(x.size()), silued = applied;
    host::launch(dim3(runs), threads, [&] { group_norm_sums(x.data(), partials.data(), pixels, channels, run); });
    host::launch(dim3(32), 512, [&] {
        group_norm_affine(partials.data(), runs, weight.data(), bias.data(), affine.data(), pixels, channels, 1e-6f);
    });
    host::launch(dim3(runs), threads,
                 [&] { group_norm_apply(x.data(), affine.data(), applied.data(), pixels, channels, run); });
    host::launch(dim3(runs), threads,
                 [&] { group_norm_silu(x.data(), affine.data(), silued.data(), pixels, channels, run); });
    expect("group_norm_apply", relative_error(applied, plain), 3e-3);
    expect("group_norm_silu", relative_error(silued, smooth), 3e-3);
}

template <class T>
void check_softmax(const char* name, int rows, int n, int threads,
                   void (*kernel)(const T*, long long, half16*, long long, int, float)) {
    const int stride = n + 12, out_stride = n + 4;
    const auto values = random_halves(size_t(rows) * stride, 5);
    std::vector<T> scores(values.begin(), values.end());
    auto out = poisoned(size_t(rows) * out_stride);
    host::launch(dim3(rows), threads, [&] { kernel(scores.data(), stride, out.data(), out_stride, n, 0.7f * kLog2e); });
    double difference = 0, norm = 0;
    for (int r = 0; r < rows; ++r) {
        double sum = 0;
        for (int i = 0; i < n; ++i) sum += std::exp(0.7 * float(scores[r * stride + i]));
        for (int i = 0; i < n; ++i) {
            const double p = std::exp(0.7 * float(scores[r * stride + i])) / sum;
            difference += std::pow(float(out[r * out_stride + i]) - p, 2);
            norm += p * p;
        }
        for (int i = n; i < out_stride; ++i) failures += !std::isnan(float(out[r * out_stride + i]));
    }
    expect(name, std::sqrt(difference / norm), 3e-3);
    if constexpr (sizeof(T) == 2) {
        host::launch(dim3(rows), threads,
                     [&] { kernel(scores.data(), stride, scores.data(), stride, n, 0.7f * kLog2e); });
        for (int r = 0; r < rows; ++r) failures += std::memcmp(&scores[r * stride], &out[r * out_stride], n * 2) != 0;
    }
}

void check_ends() {
    const int rows = 3, columns = 5, top = 1, left = 3, height = 4, width = 6;
    const auto tokens = random_floats(rows * columns * 64);
    auto out = poisoned(height * width * 16);
    host::launch(dim3(1), 32,
                 [&] { latent_to_vae_f32(tokens.data(), columns, top, left, height, width, 2, 0.5, out.data()); });
    double worst = 0;
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            for (int c = 0; c < 16; ++c) {
                const int ty = y + top, tx = x + left;
                const float v = 2 * tokens[(ty / 2 * columns + tx / 2) * 64 + c * 4 + ty % 2 * 2 + tx % 2] + 0.5f;
                worst = std::fmax(worst, std::fabs(float(out[(y * width + x) * 16 + c]) - v) / (1 + std::fabs(v)));
            }
    expect("latent_to_vae_f32", worst, 5e-3);

    std::vector<float> x = {-2, -1, -0.999f, 0, 0.5, 1, 1.5, 0.004f};
    std::vector<uint8_t> bytes(8, 77);
    int flag = 0;
    const auto run = [&] { host::launch(dim3(1), 32, [&] { to_rgb8(x.data(), bytes.data(), &flag, 8); }); };
    run();
    const uint8_t expected[] = {0, 0, 0, 128, 191, 255, 255, 128};
    failures += flag != 0 || std::memcmp(bytes.data(), expected, 8);
    for (float bad : {NAN, INFINITY, -INFINITY}) {
        x[6] = bad, flag = 0;
        run();
        failures += flag != 1;
    }

    auto a = random_halves(24);
    const auto b = random_halves(24), before = a;
    host::launch(dim3(1), 32, [&] { add(a.data(), b.data(), 24); });
    for (int i = 0; i < 24; ++i) failures += float(a[i]) != float(__float2bfloat16(float(before[i]) + float(b[i])));

    for (const bool doubled : {false, true}) {
        const ConvShape s{1, 1, 24, 5, doubled};
        const auto weight = random_halves(s.out * s.in * 9);
        const std::vector<float> wide(weight.begin(), weight.end());
        const auto wanted = packed(s, weight);
        auto got = poisoned(wanted.size());
        host::launch(dim3((wanted.size() + 63) / 64), 64,
                     [&] { (doubled ? pack_doubled : pack_conv)(wide.data(), got.data(), s.out, s.in); });
        failures += std::memcmp(got.data(), wanted.data(), wanted.size() * 2) != 0;
    }
}

}  // namespace

int main() {
    check_norm(1, 32, 8, 64);
    check_norm(77, 96, 20, 256);
    check_norm(500, 128, 100, 256);
    check_norm(70, 512, 33, 256);
    check_norm(300, 64, 64, 128);
    for (int n : {4, 60, 2048, 3000}) {
        check_softmax("softmax_rows_f32", 3, n, 128, softmax_rows_f32);
        check_softmax("softmax_rows_bf16", 3, n, 64, softmax_rows_bf16);
    }
    check_ends();
    std::printf("%s\n", failures ? "FAILED" : "all passed");
    return failures != 0;
}
