// text.cu on the CPU.
#include "text.cu"  // with its shared memory in host::arena: see run.sh

#include <string>

#include "reference.h"

namespace {

void expect(const std::string& what, double error, double limit) {
    const bool good = error <= limit;
    failures += !good;
    std::printf("%s %s: %.2e\n", good ? "ok  " : "FAIL", what.c_str(), error);
}

template <class... Numbers>
std::string text(const char* format, Numbers... numbers) {
    char out[120];
    std::snprintf(out, sizeof out, format, numbers...);
    return out;
}

void check_embed(int rows, int tokens, int width, bool with_positions) {
    const auto table = random_halves(100 * width), positions = random_halves(tokens * width);
    std::vector<unsigned> ids(rows);
    for (unsigned& id : ids) id = generator() % 100;
    ids[0] = 99;
    std::vector<float> x(rows * width, NAN);
    host::launch(dim3(rows), 64, [&] {
        embed_rows(ids.data(), table.data(), with_positions ? positions.data() : nullptr, tokens, x.data(), width,
                   width);
    });
    double worst = 0;
    for (int i = 0; i < rows * width; ++i) {
        const int r = i / width, c = i % width;
        const float wanted = float(table[ids[r] * width + c]) +
                             (with_positions ? float(positions[r % tokens * width + c]) : 0.f);
        if (!(x[i] == wanted)) worst = INFINITY;
    }
    expect(text("embed_rows %d x %d", rows, width), worst, 0);
}

void check_norm(bool centred, int rows, int width, bool with_branch) {
    const int x_stride = width + 8, y_stride = width + 16, out_stride = width + 24;
    auto x = random_floats(rows * x_stride, 3);
    for (float& v : x) v += 1;
    const auto before = x;
    const auto y = random_halves(rows * y_stride), weight = random_halves(width), bias = random_halves(width);
    auto out = poisoned(rows * out_stride);
    const int threads = (width / 8 + kNormChunks * 32 - 1) / (kNormChunks * 32) * 32, together = threads == 32 ? 4 : 1;
    const half16* branch = with_branch ? y.data() : nullptr;
    host::launch(dim3((rows + together - 1) / together), dim3(threads, together), [&] {
        if (centred)
            add_layer_norm(x.data(), x_stride, branch, y_stride, weight.data(), bias.data(), out.data(), out_stride,
                           rows, width, 1e-5f);
        else
            add_rms_norm(x.data(), x_stride, branch, y_stride, weight.data(), out.data(), out_stride, rows, width,
                         1e-5f);
    });
    std::vector<float> got, wanted;
    for (int r = 0; r < rows; ++r) {
        double mean = 0, squares = 0;
        for (int i = 0; i < x_stride; ++i) {
            const float sum = before[r * x_stride + i] + (branch && i < width ? float(y[r * y_stride + i]) : 0.f);
            failures += x[r * x_stride + i] != sum;
            if (i < width && centred) mean += sum / double(width);
        }
        for (int i = 0; i < width; ++i) squares += std::pow(x[r * x_stride + i] - mean, 2) / width;
        for (int i = 0; i < out_stride; ++i) {
            const float v = out[r * out_stride + i];
            if (i >= width) {
                failures += !std::isnan(v);
                continue;
            }
            got.push_back(v);
            wanted.push_back((x[r * x_stride + i] - mean) / std::sqrt(squares + 1e-5) * float(weight[i]) +
                             (centred ? float(bias[i]) : 0));
        }
    }
    expect(text("%s%s %d x %d", with_branch ? "add_" : "", centred ? "layer_norm" : "rms_norm", rows, width),
           relative_error(got, wanted), 3e-3);
}

void check_activations(int rows, int width) {
    const int stride = 2 * width + 8, chunks = width / 8, threads = std::min(256, (chunks + 31) / 32 * 32);
    const auto x = random_halves(rows * stride, 2);
    auto gated = poisoned(rows * width), quick = gated;
    const dim3 grid((chunks + threads - 1) / threads, rows);
    host::launch(grid, threads, [&] { gated_gelu(x.data(), stride, gated.data(), width, width); });
    host::launch(grid, threads, [&] { quick_gelu(x.data(), stride, quick.data(), width, width); });
    std::vector<float> gated_wanted, quick_wanted;
    for (int i = 0; i < rows * width; ++i) {
        const double a = float(x[i / width * stride + i % width]), b = float(x[i / width * stride + width + i % width]);
        gated_wanted.push_back(0.5 * a * (1 + std::tanh(0.7978845608028654 * (a + 0.044715 * a * a * a))) * b);
        quick_wanted.push_back(a / (1 + std::exp(-1.702 * a)));
    }
    expect(text("gated_gelu %d x %d", rows, width), relative_error(gated, gated_wanted), 3e-3);
    expect(text("quick_gelu %d x %d", rows, width), relative_error(quick, quick_wanted), 3e-3);
}

void check_attention(int dim, bool causal, int length, int heads, int items, int extra, float sharpness, float scale) {
    const int inner = heads * dim, row = 3 * inner + extra, item = row * length;
    const int out_row = inner + 8, out_item = out_row * length;
    const auto x = random_halves(size_t(items) * item, sharpness);
    const auto bias = random_floats(heads * (2 * length - 1), 2);
    auto out = poisoned(size_t(items) * out_item);
    const half16 *q = x.data(), *k = q + inner, *v = k + inner;
    const float scale_log2 = scale * kLog2e;
    host_conflicts = 0;
    host::launch(dim3((length + 127) / 128, heads, items), 128, [&] {
        if (causal)
            attention_causal_d64(q, k, v, row, item, out.data(), out_row, out_item, length, scale_log2);
        else
            (dim == 64 ? attention_bias_d64 : attention_bias_d32)(q, k, v, row, item, out.data(), out_row, out_item,
                                                                  length, bias.data(), scale_log2);
    });
    std::vector<float> got, wanted;
    for (int at = 0; at < items * length; ++at) {
        const int i = at % length, keys = causal ? i + 1 : length;
        const size_t first = size_t(at / length) * item;
        for (int h = 0; h < heads; ++h) {
            std::vector<double> p(keys);
            double top = -INFINITY, total = 0;
            for (int j = 0; j < keys; ++j) {
                double sum = 0;
                for (int d = h * dim; d < (h + 1) * dim; ++d)
                    sum += double(float(q[first + size_t(i) * row + d])) * float(k[first + size_t(j) * row + d]);
                p[j] = sum * scale + (causal ? 0 : bias[h * (2 * length - 1) + j - i + length - 1]);
                top = std::max(top, p[j]);
            }
            for (double& value : p) total += value = std::exp(value - top);
            for (int d = h * dim; d < (h + 1) * dim; ++d) {
                double sum = 0;
                for (int j = 0; j < keys; ++j) sum += p[j] * float(v[first + size_t(j) * row + d]);
                wanted.push_back(sum / total);
                got.push_back(out[size_t(at) * out_row + d]);
            }
        }
        for (int c = inner; c < out_row; ++c) failures += !std::isnan(float(out[size_t(at) * out_row + c]));
    }
    if (host_conflicts) std::printf("FAIL %ld bank conflicts\n", host_conflicts), ++failures;
    const char* kind = causal ? "causal" : "bias";
    expect(text("attention_%s_d%d length %d, %d heads, %d items", kind, dim, length, heads, items),
           relative_error(got, wanted), 5e-3);
}

}  // namespace

int main() {
    check_embed(7, 3, 128, true);
    check_embed(5, 5, 776, false);
    for (bool centred : {false, true})
        for (bool branch : {false, true}) {
            check_norm(centred, 5, 128, branch);
            check_norm(centred, 3, 8, branch);
            check_norm(centred, 3, 768, branch);
            check_norm(centred, 2, 1288, branch);
            check_norm(centred, 2, 4096, branch);
        }
    check_activations(3, 320);
    check_activations(2, 3080);
    for (int length : {1, 2, 32, 63, 64, 65, 77, 129, 200}) {
        check_attention(64, false, length, 2, length < 80 ? 2 : 1, 0, 1, 0.125f);
        check_attention(32, false, length, 2, 1, 64, 1, 1);
        check_attention(64, true, length, 2, length < 80 ? 2 : 1, 8, 1.5f, 0.125f);
    }
    check_attention(64, false, 300, 1, 1, 0, 1, 1);
    check_attention(64, true, 300, 1, 1, 0, 1, 0.125f);
    std::printf("%s\n", failures ? "FAILED" : "all passed");
    return failures != 0;
}
