// Times of the VAE's kernels at FLUX.1's sizes and of one whole decode, convolutions, norms, products and all, on
// random weights: each kind of work by itself, and the whole in a stream and in a graph.
#include <map>

#include "linear.h"
#include "vae.h"

namespace {

int ceil_div(long long a, long long b) { return int((a + b - 1) / b); }

struct Work {
    std::string name;  // what is the same work has the same name
    double flop, bytes;
    std::function<void(cudaStream_t)> run;
};

constexpr int kScoreRows = 2048;  // queries whose scores are held at once: 64 MB at 1024x1024

// The decoder of FLUX.1, laid out for one size of picture. Three buffers take turns as in and outputs.
struct Decode {
    const VaeKernels& kernels;
    cublasLtHandle_t handle;
    int side, score_rows;
    std::vector<Work> works;
    std::vector<std::unique_ptr<Buffer<bf16>>> weights;
    std::vector<std::unique_ptr<Linear>> linears;
    Buffer<bf16> a, b, c, scores;
    Buffer<float> ones, partials, affine, tokens, picture;
    Buffer<uint8_t> workspace, bytes;
    Buffer<int> flag;
    double plain_flop = 0;

    Decode(const VaeKernels& kernels, int side, cublasLtHandle_t handle, int score_rows)
        : kernels(kernels),
          handle(handle),
          side(side),
          score_rows(score_rows),
          a(size_t(side) * side * 256),
          b(a.count),
          c(a.count),
          scores(size_t(score_rows) * (side / 8) * (side / 8)),
          ones(512),
          partials(kNormPartials),
          affine(1024),
          tokens(size_t(side / 16) * (side / 16) * 64),
          picture(size_t(side) * side * 3),
          workspace(kLinearWorkspace),
          bytes(picture.count),
          flag(1) {
        fill_normal(ones.data, ones.count, 1, 0.05f, 1.f);
        fill_normal(tokens.data, tokens.count, 2);
        flag.zero();
        build();
    }

    bf16* weight(size_t count, int inputs) {
        weights.push_back(std::make_unique<Buffer<bf16>>(count));
        fill_normal(weights.back()->data, count, weights.size(), 1.f / std::sqrt(float(inputs)));
        return weights.back()->data;
    }

    void add(const std::string& name, double flop, double bytes, std::function<void(cudaStream_t)> run) {
        works.push_back({name, flop, bytes, std::move(run)});
    }

    void conv(const ConvShape& s, const bf16* x, bf16* out, const bf16* residual = nullptr) {
        const size_t count = size_t(s.out) * s.in * (s.doubled ? 16 : 9);
        auto conv = std::make_shared<Conv>(kernels, kernels.convs(s)[0], s, x, weight(count, 9 * s.in), ones.data,
                                           residual, out);
        plain_flop += s.plain_flop();
        char name[120];
        std::snprintf(name, sizeof name, "%s %d->%d at %d%s", conv->name.c_str(), s.in, s.out, s.height * s.scale(),
                      residual ? " +" : "");
        add(name, s.flop(), 2. * s.pixels() * s.in + 2. * s.outputs() * (residual ? 2 : 1),
            [conv](cudaStream_t stream) { conv->run(stream); });
    }

    void norm(int side, int channels, const bf16* x, bf16* out, bool silu = true) {
        const Norm norm{kernels, side * side, channels, ones.data, ones.data, silu, partials.data, affine.data};
        add("group norm " + std::to_string(channels) + " at " + std::to_string(side), 0, 6. * side * side * channels,
            [=](cudaStream_t stream) { norm.run(x, out, stream); });
    }

    void linear(const std::string& name, int m, int n, int k, const bf16* x, const bf16* weight, bf16* out) {
        linears.push_back(std::make_unique<Linear>(handle, LinearShape{m, n, k, Precision::bf16, false, false}, n));
        Linear* l = linears.back().get();
        plain_flop += 2. * m * n * k;
        add(name, 2. * m * n * k, 2. * (double(m) * k + double(n) * k + double(m) * n), [=](cudaStream_t stream) {
            CHECK(l->run(handle, x, nullptr, weight, nullptr, nullptr, out, workspace.data, stream));
        });
    }

    // x -> x, by way of `y` and `z`.
    void block(int side, int in, int out, bf16*& x, bf16*& y, bf16*& z) {
        if (in == out) {
            norm(side, in, x, y);
            conv({side, side, in, out}, y, z);
            norm(side, out, z, z);
            conv({side, side, out, out, false, true}, z, x, x);
            return;
        }
        linear("shortcut " + std::to_string(in) + "->" + std::to_string(out) + " at " + std::to_string(side),
               side * side, out, in, x, weight(size_t(in) * out, in), y);
        norm(side, in, x, x);
        conv({side, side, in, out}, x, z);
        norm(side, out, z, z);
        conv({side, side, out, out, false, true}, z, y, y);
        std::swap(x, y);
    }

    // Values come as [512, n]; in chunks of rows: scores, softmax, values.
    void attend(int side, bf16* x, bf16* y, bf16* z) {
        const int n = side * side;
        const size_t part = size_t(n) * 512;
        bf16 *q = z, *k = z + part, *v = z + 2 * part, *attended = y;
        norm(side, 512, x, y, false);
        linear("q, k, v", n, 512, 512, y, weight(512 * 512, 512), q);
        linear("q, k, v", n, 512, 512, y, weight(512 * 512, 512), k);
        linear("v transposed", 512, n, 512, weight(512 * 512, 512), y, v);
        for (int row = 0; row < n; row += score_rows) {
            const int rows = std::min(score_rows, n - row);
            linear("scores", rows, n, 512, q + size_t(row) * 512, k, scores.data);
            add("softmax", 0, 4. * rows * n, [=](cudaStream_t stream) {
                long long stride = n;
                int length = n;
                float scale = 1.44269504f / std::sqrt(512.f);
                bf16* from = scores.data;
                launch(kernels.vae.function("softmax_rows_bf16"), rows, std::min(1024, ceil_div(n, 512) * 32), 0,
                       {&from, &stride, &from, &stride, &length, &scale}, stream);
            });
            linear("values", rows, 512, n, scores.data, v, attended + size_t(row) * 512);
        }
        linear("q, k, v", n, 512, 512, attended, weight(512 * 512, 512), x);  // its residual is left out here
    }

    void build() {
        bf16 *x = a.data, *y = b.data, *z = c.data;
        const int latent = side / 8;
        add("latent_to_vae", 0, 6. * latent * latent * 16, [=](cudaStream_t stream) {
            int columns = latent / 2, zero = 0, size = latent;
            float factor = 2.77f, shift = 0.1159f;
            launch(kernels.vae.function("latent_to_vae_f32"), ceil_div(latent * latent, 128), 128, 0,
                   {&tokens.data, &columns, &zero, &zero, &size, &size, &factor, &shift, (void*)&y}, stream);
        });
        conv({latent, latent, 16, 512}, y, x);
        block(latent, 512, 512, x, y, z);
        attend(latent, x, y, z);
        block(latent, 512, 512, x, y, z);
        int at = latent, channels = 512;
        for (const int out : {512, 512, 256, 128}) {
            for (int i = 0; i < 3; ++i) {
                block(at, channels, out, x, y, z);
                channels = out;
            }
            if (out == 128) break;
            conv({at, at, out, out, true}, x, y);
            std::swap(x, y);
            at *= 2;
        }
        norm(side, 128, x, y);
        const bf16* last = weight(3 * 9 * 128, 9 * 128);
        plain_flop += 2. * side * side * 3 * 9 * 128;
        add("conv_sm80_narrow", 2. * side * side * 3 * 9 * 128, side * side * (256. + 12), [=](cudaStream_t stream) {
            int size = side, in = 128, out = 3;
            launch(kernels.conv80.function("conv_sm80_narrow"), dim3(ceil_div(size, 16), ceil_div(size, 16)), 256, 0,
                   {(void*)&y, (void*)&last, &ones.data, &picture.data, &size, &size, &in, &out}, stream);
        });
        add("to_rgb8", 0, side * side * 15., [=](cudaStream_t stream) {
            int count = side * side * 3;
            launch(kernels.vae.function("to_rgb8"), ceil_div(count / 4, 256), 256, 0,
                   {&picture.data, &bytes.data, &flag.data, &count}, stream);
        });
    }

    void run(cudaStream_t stream) {
        for (Work& w : works) w.run(stream);
    }
};

void print(const char* name, int count, double ms, double flop, double bytes) {
    std::printf("%-44s %3d x %8.1f us = %7.2f ms", name, count, ms * 1e3, ms * count);
    if (flop > 0) std::printf("  %5.0f TFLOP/s", flop / ms / 1e9);
    std::printf("  %5.0f GB/s\n", bytes / ms / 1e6);
}

// All kernels that can do a shape, side by side.
void compare(const VaeKernels& k, const ConvShape& s) {
    Buffer<bf16> x(size_t(s.pixels()) * s.in), weight(size_t(s.out) * s.in * (s.doubled ? 16 : 9)), out(s.outputs());
    Buffer<float> bias(s.out);
    fill_normal(x.data, x.count, 1);
    fill_normal(weight.data, weight.count, 2, 0.02f);
    bias.zero();
    fill_normal(out.data, out.count, 3);
    std::printf("%4d x %-4d %3d -> %3d%s%s:", s.height, s.width, s.in, s.out, s.doubled ? " doubled" : "",
                s.residual ? " +" : "");
    for (const std::string& name : k.convs(s)) {
        Conv conv(k, name, s, x.data, weight.data, bias.data, s.residual ? out.data : nullptr, out.data);
        const double ms = time_ms([&](int) { conv.run(); }, 5, 5);
        std::printf("  %s %.0f us %.0f TFLOP/s", name.c_str() + 5, ms * 1e3, s.flop() / ms / 1e9);
        if (s.residual) fill_normal(out.data, out.count, 3);  // it has grown
    }
    std::printf("\n");
}

}  // namespace

void time_vae(const VaeKernels& kernels, int side) {
    cublasLtHandle_t handle;
    CHECK(cublasLtCreate(&handle));
    cudaStream_t stream;
    CHECK(cudaStreamCreate(&stream));
    std::printf("---- %d x %d ----\n", side, side);
    const int l = side / 8;
    for (const ConvShape& s : {ConvShape{l, l, 16, 512},
                               {l, l, 512, 512},
                               {l, l, 512, 512, true},
                               {2 * l, 2 * l, 512, 512},
                               {2 * l, 2 * l, 512, 512, true},
                               {4 * l, 4 * l, 512, 256},
                               {4 * l, 4 * l, 256, 256, false, true},
                               {4 * l, 4 * l, 256, 256, true},
                               {8 * l, 8 * l, 256, 128},
                               {8 * l, 8 * l, 128, 128},
                               {8 * l, 8 * l, 128, 128, false, true}})
        compare(kernels, s);

    Decode decode(kernels, side, handle, kScoreRows);
    decode.run(stream);  // so that no buffer holds what nobody wrote
    std::vector<std::string> order;
    std::map<std::string, std::vector<const Work*>> kinds;
    double flop = 0;
    for (const Work& w : decode.works) {
        if (!kinds.count(w.name)) order.push_back(w.name);
        kinds[w.name].push_back(&w);
        flop += w.flop;
    }
    double sum = 0;
    for (const std::string& name : order) {
        const auto& same = kinds[name];
        const double ms =
            time_ms([&](int i) { same[i % same.size()]->run(stream); }, std::max<int>(4, same.size()), 5, stream);
        sum += ms * same.size();
        print(name.c_str(), same.size(), ms, same[0]->flop, same[0]->bytes);
    }
    decode.flag.zero();
    const double whole = time_ms([&](int) { decode.run(stream); }, 3, 7, stream);
    cudaGraph_t graph;
    cudaGraphExec_t ready;
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    decode.run(stream);
    CHECK(cudaStreamEndCapture(stream, &graph));
    CHECK(cudaGraphInstantiate(&ready, graph, 0));
    const double captured = time_ms([&](int) { CHECK(cudaGraphLaunch(ready, stream)); }, 3, 7, stream);
    std::printf(
        "decode %d: kinds added %.2f ms, stream %.2f ms, graph %.2f ms; %.2f TFLOP done, %.2f as written: %.0f "
        "TFLOP/s; "
        "finite %d\n",
        side, sum, whole, captured, flop / 1e12, decode.plain_flop / 1e12, decode.plain_flop / captured / 1e9,
        decode.flag.host()[0] == 0);
    for (int rows : {512, 1024, 4096}) {
        Decode other(kernels, side, handle, rows);
        const double ms = time_ms([&](int) { other.run(stream); }, 3, 7, stream);
        std::printf("the same with scores of %d queries at a time: stream %.2f ms\n", rows, ms);
    }
    CHECK(cudaGraphExecDestroy(ready));
    CHECK(cudaGraphDestroy(graph));
    CHECK(cudaStreamDestroy(stream));
}
