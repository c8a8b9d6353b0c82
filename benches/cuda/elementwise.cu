// The kernels between the products: checked against one-thread-a-row fp64 references on fresh random inputs, and timed.
//   harness elementwise MODULE check|time
#include "harness.h"

#include <cstring>
#include <memory>

namespace {

// ---- references: plain, in double, one thread a row ----

__device__ double sigmoid(double x) { return 1 / (1 + exp(-x)); }
__device__ double gelu(double x) { return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); }

__global__ void norm_modulate_reference(const bf16* x, long long x_stride, const bf16* y, const bf16* gate, float* sum,
                                        const bf16* shift, const bf16* scale, int tokens, int split, long long second,
                                        long long item_stride, float* out, int rows, int width, double epsilon) {
    const int r = blockIdx.x * blockDim.x + threadIdx.x;
    if (r >= rows) return;
    const long long m = r / tokens * item_stride + (r % tokens >= split ? second : 0);
    auto value = [&](int i) {
        double v = float(x[r * x_stride + i]);
        return y ? double(
                       float(bf16(float(v + double(float(gate[m + i])) * double(float(y[(long long)r * width + i]))))))
                 : v;
    };
    double mean = 0, variance = 0;
    for (int i = 0; i < width; ++i) mean += value(i);
    mean /= width;
    for (int i = 0; i < width; ++i) variance += (value(i) - mean) * (value(i) - mean);
    const double factor = 1 / sqrt(variance / width + epsilon);
    for (int i = 0; i < width; ++i) {
        if (sum) sum[(long long)r * width + i] = value(i);
        out[(long long)r * width + i] =
            (value(i) - mean) * factor * (1 + double(float(scale[m + i]))) + double(float(shift[m + i]));
    }
}

__global__ void qk_reference(const bf16* qkv, long long stride, int part, const bf16* weight, const float* cos_sin,
                             float* out, int rows, int tokens, int split, long long second, int heads, int dim,
                             double epsilon) {
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= rows * heads) return;
    const int r = at / heads, h = at % heads;
    const bf16* x = qkv + r * stride + (long long)(part * heads + h) * dim;
    float* o = out + ((long long)r * heads + h) * dim;
    if (r % tokens >= split) weight += second;
    double squares = 0;
    for (int i = 0; i < dim; ++i) squares += double(float(x[i])) * double(float(x[i]));
    const double factor = 1 / sqrt(squares / dim + epsilon);
    for (int i = 0; i < dim; i += 2) {
        const double a = float(x[i]) * factor * double(float(weight[i]));
        const double b = float(x[i + 1]) * factor * double(float(weight[i + 1]));
        const double c = cos_sin[(long long)(r % tokens) * dim + i], s = cos_sin[(long long)(r % tokens) * dim + i + 1];
        o[i] = c * a - s * b;
        o[i + 1] = s * a + c * b;
    }
}

// op: 0 copy, 1 gelu, 2 silu; columns under `plain` are copied from `first`.
__global__ void map_reference(const bf16* first, long long first_stride, int plain, const bf16* x, long long x_stride,
                              int op, float* out, int rows, int width) {
    for (long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x; at < (long long)rows * width;
         at += (long long)gridDim.x * blockDim.x) {
        const long long r = at / width, i = at % width;
        const double v = float(i < plain ? first[r * first_stride + i] : x[r * x_stride + i - plain]);
        out[at] = i < plain || op == 0 ? v : op == 1 ? gelu(v) : v * sigmoid(v);
    }
}

__global__ void residual_reference(const bf16* x, const bf16* y, const bf16* gate, int tokens, int split,
                                   long long second, long long item_stride, float* out, int rows, int width) {
    for (long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x; at < (long long)rows * width;
         at += (long long)gridDim.x * blockDim.x) {
        const long long r = at / width, m = r / tokens * item_stride + (r % tokens >= split ? second : 0);
        out[at] = double(float(x[at])) + double(float(gate[m + at % width])) * double(float(y[at]));
    }
}

__global__ void widen_reference(const fp8* w, const float* scale, int per_row, float* out, long long rows, int width) {
    for (long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x; at < rows * width;
         at += (long long)gridDim.x * blockDim.x)
        out[at] = float(w[at]) * scale[per_row ? at / width : 0];
}

// Counts values further from the reference than half a step of e4m3 at their row's scale and half a step of bf16 (the
// kernels round to it first), rows whose scale is not max / 448 to a step of bf16, and values never written (NaN).
__global__ void quantised_violations(const fp8* q, const float* scales, const float* reference, int rows, int width,
                                     int* violations) {
    const int r = blockIdx.x;
    __shared__ float top;
    if (threadIdx.x == 0) top = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < width; i += blockDim.x)
        atomicMax(reinterpret_cast<int*>(&top), __float_as_int(fabsf(reference[(long long)r * width + i])));
    __syncthreads();
    if (threadIdx.x == 0 && !(fabsf(scales[r] * 448 - top) <= 4e-3f * top + 1e-30f)) atomicAdd(violations, 1);
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        const float x = reference[(long long)r * width + i], got = float(q[(long long)r * width + i]) * scales[r];
        const float bound = 1.01f * fmaxf(fabsf(x) / 16, scales[r] / 1024) + 4e-3f * fabsf(x) + 1e-3f * scales[r];
        if (!(fabsf(got - x) <= bound)) atomicAdd(violations, 1);
    }
}

// ---- the kernels as the engine will call them ----

struct Kernels {
    const Module& module;
    CUfunction find(const char* name) const { return module.function(name); }
};

// The arrays of one shape: L tokens of hidden size H, an MLP of F columns.
struct Arrays {
    int rows, tokens, width, mlp, heads, dim, modulations;
    Buffer<bf16> x, y, modulation, fused, weights, out, q, k, v, wide;
    Buffer<fp8> out8, w8;
    Buffer<float> scales, cos_sin;
    long long fused_stride;
    Arrays(int tokens, int batch, int heads, int dim, uint64_t seed)
        : rows(tokens * batch),
          tokens(tokens),
          width(heads * dim),
          mlp(4 * width),
          heads(heads),
          dim(dim),
          modulations(batch),
          x(size_t(rows) * width),
          y(size_t(rows) * width),
          modulation(size_t(batch) * 6 * width),
          fused(size_t(rows) * (3 * width + mlp)),
          weights(4 * dim),
          out(size_t(rows) * (width + mlp)),
          q(size_t(rows) * width),
          k(size_t(rows) * width),
          v(size_t(rows) * width),
          wide(size_t(3) * width * width),
          out8(size_t(rows) * (width + mlp)),
          w8(size_t(3) * width * width),
          scales(std::max(rows, 3 * width)),
          cos_sin(size_t(tokens) * dim),
          fused_stride(3 * width + mlp) {
        fill_normal(x.data, x.count, seed, 2.f, 0.3f);
        fill_normal(y.data, y.count, seed + 1);
        fill_normal(modulation.data, modulation.count, seed + 2, 0.5f);
        fill_normal(fused.data, fused.count, seed + 3);
        fill_normal(weights.data, weights.count, seed + 4, 0.2f, 1.f);
        fill_normal(cos_sin.data, cos_sin.count, seed + 5, 0.7f);
        fill_normal(w8.data, w8.count, seed + 6, 30.f);
    }
};

struct Calls {
    Kernels kernels;
    Arrays& a;
    float epsilon = 1e-6f;
    long long H = a.width, M = a.mlp, item_stride = 6 * a.width, second = 3 * a.width, second_norm = 2 * a.dim;
    int split = a.tokens / 3;
    bf16* shift = a.modulation.data;
    bf16* scale = shift + a.width;
    bf16* gate = scale + a.width;
    bf16* mlp = a.fused.data + 3 * a.width;

    void rows(const char* name, int width, std::vector<void*> arguments, int chunks = kRowChunks) {
        const dim3 block = row_block(width, chunks);
        launch(kernels.find(name), (a.rows + block.y - 1) / block.y, block, 0, arguments);
    }
    void norm(bool fp8_out) {
        if (fp8_out)
            rows("norm_modulate_fp8", a.width,
                 {&a.x.data, &H, &shift, &scale, &a.tokens, &split, &second, &item_stride, &a.out8.data, &H,
                  &a.scales.data, &a.rows, &a.width, &epsilon});
        else
            rows("norm_modulate_bf16", a.width,
                 {&a.x.data, &H, &shift, &scale, &a.tokens, &split, &second, &item_stride, &a.out.data, &H, &a.rows,
                  &a.width, &epsilon});
    }
    void residual_norm(bool fp8_out) {
        if (fp8_out)
            rows("residual_norm_modulate_fp8", a.width,
                 {&a.x.data, &H, &a.y.data, &H, &gate, &a.q.data, &shift, &scale, &a.tokens, &split, &second,
                  &item_stride, &a.out8.data, &H, &a.scales.data, &a.rows, &a.width, &epsilon});
        else
            rows("residual_norm_modulate_bf16", a.width,
                 {&a.x.data, &H, &a.y.data, &H, &gate, &a.q.data, &shift, &scale, &a.tokens, &split, &second,
                  &item_stride, &a.out.data, &H, &a.rows, &a.width, &epsilon});
    }
    void rope(bool copy_v) {
        bf16* v = copy_v ? a.v.data : nullptr;
        bf16* k_weight = a.weights.data + a.dim;
        launch(kernels.find(a.dim == 128 ? "qk_norm_rope_d128" : "qk_norm_rope_d64"), a.rows,
               std::max(32, a.width / 12 / 32 * 32), 0,
               {&a.fused.data, &a.fused_stride, &a.q.data, &H, &a.k.data, &H, &v, &H, &a.weights.data, &k_weight,
                &a.tokens, &split, &second_norm, &a.cos_sin.data, &a.heads, &epsilon});
    }
    void gelu8(bool with_first) {
        int first = with_first ? a.width : 0;
        long long out_stride = first + a.mlp;
        rows("gelu_fp8", first + a.mlp,
             {&a.y.data, &H, &first, &mlp, &a.fused_stride, &a.mlp, &a.out8.data, &out_stride, &a.scales.data, &a.rows},
             kLongRowChunks);
    }
    void gelu16() { rows("gelu_bf16", a.mlp, {&mlp, &a.fused_stride, &a.out.data, &M, &a.rows, &a.mlp}); }
    void quantize() {
        rows("quantize_rows_fp8", a.width, {&a.x.data, &H, &a.out8.data, &H, &a.scales.data, &a.rows, &a.width});
    }
    void residual() {
        rows("gated_residual", a.width,
             {&a.x.data, &H, &a.y.data, &H, &gate, &a.tokens, &split, &second, &item_stride, &a.out.data, &H, &a.rows,
              &a.width});
    }
    void widen(int per_row) {
        launch(kernels.find("widen_fp8"), 3 * a.width, std::min(256, (a.width / 16 + 31) / 32 * 32), 0,
               {&a.w8.data, &a.scales.data, &per_row, &a.wide.data, &a.width});
    }
    void silu() {
        long long count = (long long)a.rows * a.width;
        launch(kernels.find("silu"), multiprocessors() * 8, 256, 0, {&a.x.data, &a.out.data, &count});
    }
};

int failures = 0;

void report(const char* what, const Arrays& a, double error, double limit) {
    const bool good = error <= limit;
    failures += !good;
    std::printf("%s %-28s rows %5d width %5d: %.2e\n", good ? "ok  " : "FAIL", what, a.rows, a.width, error);
}

void check_bf16(const char* what, const Arrays& a, const bf16* out, const float* reference, size_t count) {
    report(what, a, relative_error(out, reference, 1, count), 4e-3);
}

void check_fp8(const char* what, Arrays& a, const float* reference, int width) {
    Buffer<int> violations(1);
    violations.zero();
    quantised_violations<<<a.rows, 256>>>(a.out8.data, a.scales.data, reference, a.rows, width, violations.data);
    CHECK(cudaGetLastError());
    report(what, a, violations.host()[0], 0);
}

void check_shape(const Kernels& kernels, int tokens, int batch, int heads, int dim, uint64_t seed) {
    Arrays a(tokens, batch, heads, dim, seed);
    Calls call{kernels, a};
    const int blocks = (a.rows + 31) / 32;
    const size_t count = size_t(a.rows) * a.width;
    Buffer<float> expected(size_t(a.rows) * (a.width + a.mlp)), sum(count);

    norm_modulate_reference<<<blocks, 32>>>(a.x.data, a.width, nullptr, nullptr, nullptr, call.shift, call.scale,
                                            tokens, call.split, call.second, call.item_stride, expected.data, a.rows,
                                            a.width, 1e-6);
    call.norm(false);
    check_bf16("norm_modulate_bf16", a, a.out.data, expected.data, count);
    call.norm(true);
    check_fp8("norm_modulate_fp8", a, expected.data, a.width);

    norm_modulate_reference<<<blocks, 32>>>(a.x.data, a.width, a.y.data, call.gate, sum.data, call.shift, call.scale,
                                            tokens, call.split, call.second, call.item_stride, expected.data, a.rows,
                                            a.width, 1e-6);
    a.out.poison(), a.out8.poison(), a.scales.poison();
    call.residual_norm(false);
    check_bf16("residual_norm_modulate_bf16", a, a.out.data, expected.data, count);
    check_bf16("  its sum", a, a.q.data, sum.data, count);
    a.q.poison();
    call.residual_norm(true);
    check_fp8("residual_norm_modulate_fp8", a, expected.data, a.width);
    check_bf16("  its sum", a, a.q.data, sum.data, count);

    a.q.poison();
    call.rope(true);
    for (int part = 0; part < 2; ++part) {
        qk_reference<<<(a.rows * heads + 63) / 64, 64>>>(
            a.fused.data, a.fused_stride, part, a.weights.data + part * dim, a.cos_sin.data, expected.data, a.rows,
            tokens, call.split, call.second_norm, heads, dim, 1e-6);
        check_bf16(part ? "qk_norm_rope k" : "qk_norm_rope q", a, part ? a.k.data : a.q.data, expected.data, count);
    }
    map_reference<<<1024, 256>>>(nullptr, 0, 0, a.fused.data + 2 * a.width, a.fused_stride, 0, expected.data, a.rows,
                                 a.width);
    check_bf16("qk_norm_rope v copy", a, a.v.data, expected.data, count);

    for (int with_first = 0; with_first < 2; ++with_first) {
        const int first = with_first ? a.width : 0;
        a.out8.poison(), a.scales.poison();
        map_reference<<<1024, 256>>>(a.y.data, a.width, first, call.mlp, a.fused_stride, 1, expected.data, a.rows,
                                     first + a.mlp);
        call.gelu8(with_first);
        check_fp8(with_first ? "gelu_fp8 after plain columns" : "gelu_fp8", a, expected.data, first + a.mlp);
    }
    map_reference<<<1024, 256>>>(nullptr, 0, 0, call.mlp, a.fused_stride, 1, expected.data, a.rows, a.mlp);
    a.out.poison();
    call.gelu16();
    check_bf16("gelu_bf16", a, a.out.data, expected.data, size_t(a.rows) * a.mlp);

    map_reference<<<1024, 256>>>(nullptr, 0, 0, a.x.data, a.width, 0, expected.data, a.rows, a.width);
    a.out8.poison(), a.scales.poison();
    call.quantize();
    check_fp8("quantize_rows_fp8", a, expected.data, a.width);

    residual_reference<<<1024, 256>>>(a.x.data, a.y.data, call.gate, tokens, call.split, call.second, call.item_stride,
                                      expected.data, a.rows, a.width);
    a.out.poison();
    call.residual();
    check_bf16("gated_residual", a, a.out.data, expected.data, count);
    map_reference<<<1024, 256>>>(nullptr, 0, 0, a.x.data, a.width, 2, expected.data, a.rows, a.width);
    a.out.poison();
    call.silu();
    check_bf16("silu", a, a.out.data, expected.data, count);

    fill_normal(a.scales.data, a.scales.count, seed + 9, 0.1f, 1.f);
    Buffer<float> wide(a.wide.count);
    for (int per_row = 0; per_row < 2; ++per_row) {
        widen_reference<<<1024, 256>>>(a.w8.data, a.scales.data, per_row, wide.data, 3 * a.width, a.width);
        a.wide.poison();
        call.widen(per_row);
        check_bf16(per_row ? "widen_fp8 per row" : "widen_fp8 per tensor", a, a.wide.data, wide.data, a.wide.count);
    }
}

// Bit for bit the same twice.
void check_repeats(const Kernels& kernels) {
    Arrays a(333, 1, 24, 128, 77);
    Calls call{kernels, a};
    for (int which = 0; which < 3; ++which) {
        std::vector<fp8> runs[2];
        for (auto& run : runs) {
            a.out8.poison();
            which == 0 ? call.norm(true) : which == 1 ? call.residual_norm(true) : call.gelu8(true);
            run = a.out8.host();
        }
        report("repeats", a, std::memcmp(runs[0].data(), runs[1].data(), runs[0].size()) != 0, 0);
    }
}

void time_shape(const Kernels& kernels, int tokens) {
    constexpr int sets = 3;
    std::vector<std::unique_ptr<Arrays>> arrays;
    std::vector<Calls> calls;
    for (int i = 0; i < sets; ++i) {
        arrays.push_back(std::make_unique<Arrays>(tokens, 1, 24, 128, 10 * i));
        calls.push_back({kernels, *arrays.back()});
    }
    const double LH = double(tokens) * 3072, W = 3.0 * 3072 * 3072;
    struct Row {
        const char* name;
        double bytes;
        std::function<void(Calls&)> call;
    };
    const Row rows[] = {
        {"norm_modulate_bf16", 4 * LH, [](Calls& c) { c.norm(false); }},
        {"norm_modulate_fp8", 3 * LH, [](Calls& c) { c.norm(true); }},
        {"residual_norm_modulate_bf16", 8 * LH, [](Calls& c) { c.residual_norm(false); }},
        {"residual_norm_modulate_fp8", 7 * LH, [](Calls& c) { c.residual_norm(true); }},
        {"qk_norm_rope (v in place)", 8 * LH, [](Calls& c) { c.rope(false); }},
        {"qk_norm_rope (v copied)", 12 * LH, [](Calls& c) { c.rope(true); }},
        {"gelu_fp8 12288", 12 * LH, [](Calls& c) { c.gelu8(false); }},
        {"gelu_fp8 3072 + 12288", 15 * LH, [](Calls& c) { c.gelu8(true); }},
        {"gelu_bf16 12288", 16 * LH, [](Calls& c) { c.gelu16(); }},
        {"quantize_rows_fp8", 3 * LH, [](Calls& c) { c.quantize(); }},
        {"gated_residual", 6 * LH, [](Calls& c) { c.residual(); }},
        {"silu", 4 * LH, [](Calls& c) { c.silu(); }},
        {"widen_fp8 9216 x 3072", 3 * W, [](Calls& c) { c.widen(1); }},
    };
    for (const Row& row : rows) {
        const double ms = time_ms([&](int i) { row.call(calls[i % sets]); }, 30, 9);
        std::printf("time %-28s L=%4d %8.1f us %7.0f GB/s %4.0f %% of 4.2 TB/s\n", row.name, tokens, ms * 1e3,
                    row.bytes / ms / 1e6, row.bytes / ms / 1e6 / 42);
    }
}

}  // namespace

int elementwise_main(int argc, char** argv) {
    if (argc < 2) return 2;
    Module module(argv[0]);
    const Kernels kernels{module};
    if (!std::strcmp(argv[1], "time")) {
        for (int tokens : {1536, 4608}) time_shape(kernels, tokens);
        return 0;
    }
    check_shape(kernels, 1, 1, 1, 128, 1);
    check_shape(kernels, 77, 2, 3, 128, 2);
    check_shape(kernels, 33, 3, 5, 64, 3);
    if (std::strcmp(argv[1], "check-small")) {
        check_shape(kernels, 1000, 1, 24, 128, 4);
        check_shape(kernels, 2816, 1, 24, 128, 5);
        check_repeats(kernels);
    }
    std::printf("%s\n", failures ? "elementwise: FAILED" : "elementwise: all checks passed");
    return failures != 0;
}
