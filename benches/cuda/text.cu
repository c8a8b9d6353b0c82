// The text encoders' kernels: checked against plain fp64 references on fresh random inputs, and timed; and the whole
// encoders as the engine would run them, on random weights of the real sizes.
//   harness text MODULE check|time|encode
#include <cstring>
#include <map>
#include <tuple>

#include "linear.h"

namespace {

// ---- references: plain, in double ----

__global__ void embed_reference(const unsigned* ids, const bf16* table, const bf16* positions, int tokens, float* out,
                                int rows, int width) {
    for (long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x; at < (long long)rows * width;
         at += (long long)gridDim.x * blockDim.x) {
        const long long r = at / width, i = at % width;
        out[at] = float(table[(long long)ids[r] * width + i]);
        if (positions) out[at] += float(positions[r % tokens * width + i]);
    }
}

// One thread a row. `bias` null: RMS norm; y null: nothing is added.
__global__ void norm_reference(const float* x, long long x_stride, const bf16* y, long long y_stride,
                               const bf16* weight, const bf16* bias, float* sum, float* out, int rows, int width,
                               double epsilon) {
    const int r = blockIdx.x * blockDim.x + threadIdx.x;
    if (r >= rows) return;
    auto value = [&](int i) {
        return x[r * x_stride + i] + (y ? double(float(y[r * y_stride + i])) : 0);
    };
    double mean = 0, variance = 0;
    for (int i = 0; bias && i < width; ++i) mean += value(i) / width;
    for (int i = 0; i < width; ++i) variance += (value(i) - mean) * (value(i) - mean) / width;
    for (int i = 0; i < width; ++i) {
        sum[(long long)r * width + i] = value(i);
        out[(long long)r * width + i] = (value(i) - mean) / sqrt(variance + epsilon) * double(float(weight[i])) +
                                        (bias ? double(float(bias[i])) : 0);
    }
}

__global__ void gated_gelu_reference(const bf16* x, long long x_stride, float* out, int rows, int width) {
    for (long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x; at < (long long)rows * width;
         at += (long long)gridDim.x * blockDim.x) {
        const double a = float(x[at / width * x_stride + at % width]);
        const double b = float(x[at / width * x_stride + width + at % width]);
        out[at] = 0.5 * a * (1 + tanh(0.7978845608028654 * (a + 0.044715 * a * a * a))) * b;
    }
}

__global__ void quick_gelu_reference(const bf16* x, long long x_stride, float* out, int rows, int width) {
    for (long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x; at < (long long)rows * width;
         at += (long long)gridDim.x * blockDim.x) {
        const double a = float(x[at / width * x_stride + at % width]);
        out[at] = a / (1 + exp(-1.702 * a));
    }
}

// One query of one head a block. `bias` null: causal.
__global__ void attention_reference(const bf16* q, const bf16* k, const bf16* v, long long row, long long item,
                                    float* out, int length, int heads, int dim, const float* bias, double scale) {
    extern __shared__ double scores[];
    const int query = blockIdx.x, head = blockIdx.y, keys = bias ? length : query + 1;
    const long long start = blockIdx.z * item + head * dim;
    for (int j = threadIdx.x; j < keys; j += blockDim.x) {
        double sum = 0;
        for (int d = 0; d < dim; ++d)
            sum += double(float(q[start + query * row + d])) * double(float(k[start + j * row + d]));
        scores[j] = sum * scale + (bias ? bias[(long long)head * (2 * length - 1) + j - query + length - 1] : 0);
    }
    __syncthreads();
    double top = scores[0], total = 0;
    for (int j = 1; j < keys; ++j) top = fmax(top, scores[j]);
    for (int j = 0; j < keys; ++j) total += exp(scores[j] - top);
    for (int d = threadIdx.x; d < dim; d += blockDim.x) {
        double sum = 0;
        for (int j = 0; j < keys; ++j) sum += exp(scores[j] - top) * double(float(v[start + j * row + d]));
        out[((blockIdx.z * (long long)length + query) * heads + head) * dim + d] = float(sum / total);
    }
}

// ---- the kernels as the engine will call them ----

constexpr int kNormChunks = 2;  // text.cu's

int attention_shared(int length, int dim, bool bias) {
    return 256 * dim * 2 + (bias ? ((length + 63) / 64 * 64 + 128) * 4 : 0);
}

struct Calls {
    const Module& module;
    cudaStream_t stream = nullptr;

    void embed(const unsigned* ids, const bf16* table, const bf16* positions, int tokens, float* x, int rows,
               int width) const {
        long long stride = width;
        launch(module.function("embed_rows"), rows, std::min(256, (width / 8 + 31) / 32 * 32), 0,
               {&ids, &table, &positions, &tokens, &x, &stride, &width}, stream);
    }
    // `bias` null: RMS norm.
    void norm(float* x, long long x_stride, const bf16* y, long long y_stride, const bf16* weight, const bf16* bias,
              bf16* out, int rows, int width, float epsilon) const {
        const dim3 block = row_block(width, kNormChunks);
        long long out_stride = width;
        std::vector<void*> arguments = {&x, &x_stride, &y, &y_stride, &weight};
        if (bias) arguments.push_back(&bias);
        for (void* last : std::initializer_list<void*>{&out, &out_stride, &rows, &width, &epsilon})
            arguments.push_back(last);
        launch(module.function(bias ? "add_layer_norm" : "add_rms_norm"), (rows + block.y - 1) / block.y, block, 0,
               arguments, stream);
    }
    void activation(const char* name, const bf16* x, long long x_stride, bf16* out, int rows, int width) const {
        const int chunks = width / 8, threads = std::min(256, (chunks + 31) / 32 * 32);
        long long out_stride = width;
        launch(module.function(name), dim3((chunks + threads - 1) / threads, rows), threads, 0,
               {&x, &x_stride, &out, &out_stride, &width}, stream);
    }
    // q, k, v side by side in rows of `row` elements. `bias` null: causal.
    void attention(const bf16* qkv, long long row, bf16* out, int length, int heads, int dim, int items,
                   const float* bias, float scale) const {
        const bf16 *q = qkv, *k = q + heads * dim, *v = k + heads * dim;
        long long item = row * length, out_row = heads * dim, out_item = out_row * length;
        float scale_log2 = scale * 1.44269504f;
        const int shared = attention_shared(length, dim, bias);
        const char* name = bias ? dim == 64 ? "attention_bias_d64" : "attention_bias_d32" : "attention_causal_d64";
        std::vector<void*> arguments = {&q, &k, &v, &row, &item, &out, &out_row, &out_item, &length};
        if (bias) arguments.push_back(&bias);
        arguments.push_back(&scale_log2);
        launch(module.function(name, shared), dim3((length + 127) / 128, heads, items), 128, shared, arguments, stream);
    }
};

// ---- checks ----

int failures = 0;

// An output with a tail that must stay as it is.
template <class T>
struct Guarded {
    static constexpr size_t tail = 4096;
    Buffer<T> buffer;
    size_t count;
    explicit Guarded(size_t n) : buffer(n + tail), count(n) {}
    T* data() { return buffer.data; }
    bool intact() const { return same_bytes(buffer.data + count, Buffer<T>(tail).data, tail * sizeof(T)); }
};

// call(out) twice, into fresh poisoned buffers.
template <class T>
void check(const char* what, const std::string& shape, size_t count, const float* expected, double limit,
           const std::function<void(T*)>& call) {
    Guarded<T> out(count), again(count);
    call(out.data());
    call(again.data());
    CHECK(cudaDeviceSynchronize());
    double error;
    if constexpr (sizeof(T) == 2)
        error = relative_error(out.data(), expected, 1, count);
    else
        error = relative_error(out.data(), expected, count);
    const bool repeats = same_bytes(out.data(), again.data(), count * sizeof(T));
    const bool good = error <= limit && repeats && out.intact() && again.intact();
    failures += !good;
    std::printf("%s %-22s %-38s %.2e%s%s\n", good ? "ok  " : "FAIL", what, shape.c_str(), error,
                repeats ? "" : ", differs the second time", out.intact() ? "" : ", writes past its end");
}

std::string text(const char* format, int a, int b, int c = 0, int d = 0) {
    char out[80];
    std::snprintf(out, sizeof out, format, a, b, c, d);
    return out;
}

Buffer<unsigned> random_ids(int count, unsigned vocabulary) {
    std::vector<unsigned> host(count);
    uint64_t state = 88172645463325252ull;
    for (unsigned& id : host) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        id = static_cast<unsigned>(state % vocabulary);
    }
    host[0] = vocabulary - 1;
    Buffer<unsigned> ids(count);
    CHECK(cudaMemcpy(ids.data, host.data(), count * sizeof(unsigned), cudaMemcpyHostToDevice));
    return ids;
}

void check_rows(const Calls& call, int tokens, int items, int width, uint64_t seed) {
    const int rows = tokens * items, vocabulary = 1000;
    const size_t count = size_t(rows) * width;
    const std::string shape = text("rows %d x %d", rows, width);
    Buffer<float> expected(count), sum(count);

    Buffer<bf16> table(size_t(vocabulary) * width), positions(size_t(tokens) * width);
    Buffer<unsigned> ids = random_ids(rows, vocabulary);
    fill_normal(table.data, table.count, seed);
    fill_normal(positions.data, positions.count, seed + 1);
    for (const bf16* p : {static_cast<const bf16*>(nullptr), static_cast<const bf16*>(positions.data)}) {
        embed_reference<<<1024, 256>>>(ids.data, table.data, p, tokens, expected.data, rows, width);
        check<float>(p ? "embed_rows, positions" : "embed_rows", shape, count, expected.data, 0,
                     [&](float* out) { call.embed(ids.data, table.data, p, tokens, out, rows, width); });
    }

    // Large and off centre, as residual streams are.
    const long long x_stride = width + 8, y_stride = width + 16;
    Buffer<float> x(rows * x_stride), x_now(rows * x_stride);
    Buffer<bf16> y(rows * y_stride), weight(width), bias(width);
    fill_normal(x.data, x.count, seed + 2, 40.f, 15.f);
    fill_normal(y.data, y.count, seed + 3, 4.f);
    fill_normal(weight.data, width, seed + 4, 0.3f, 1.f);
    fill_normal(bias.data, width, seed + 5, 0.3f);
    for (int variant = 0; variant < 4; ++variant) {
        const bf16 *branch = variant & 1 ? y.data : nullptr, *shift = variant & 2 ? bias.data : nullptr;
        const float epsilon = shift ? 1e-5f : 1e-6f;
        const std::string what = std::string(branch ? "add_" : "") + (shift ? "layer_norm" : "rms_norm");
        norm_reference<<<(rows + 31) / 32, 32>>>(x.data, x_stride, branch, y_stride, weight.data, shift, sum.data,
                                                 expected.data, rows, width, epsilon);
        const auto run = [&](bf16* out) {
            CHECK(cudaMemcpy(x_now.data, x.data, x.count * sizeof(float), cudaMemcpyDeviceToDevice));
            call.norm(x_now.data, x_stride, branch, y_stride, weight.data, shift, out, rows, width, epsilon);
        };
        check<bf16>(what.c_str(), shape, count, expected.data, 4e-3, run);
        check<float>("  its sum", shape, count, sum.data, 1e-6, [&](float* out) {
            run(Buffer<bf16>(count).data);
            CHECK(cudaMemcpy2D(out, width * sizeof(float), x_now.data, x_stride * sizeof(float), width * sizeof(float),
                               rows, cudaMemcpyDeviceToDevice));
        });
    }

    const long long stride = 2 * width + 24;
    Buffer<bf16> fused(rows * stride);
    fill_normal(fused.data, fused.count, seed + 6, 2.f);
    gated_gelu_reference<<<1024, 256>>>(fused.data, stride, expected.data, rows, width);
    check<bf16>("gated_gelu", shape, count, expected.data, 4e-3,
                [&](bf16* out) { call.activation("gated_gelu", fused.data, stride, out, rows, width); });
    quick_gelu_reference<<<1024, 256>>>(fused.data, stride, expected.data, rows, width);
    check<bf16>("quick_gelu", shape, count, expected.data, 4e-3,
                [&](bf16* out) { call.activation("quick_gelu", fused.data, stride, out, rows, width); });
}

void check_attention(const Calls& call, int length, int heads, int dim, int items, int extra, float sharpness,
                     uint64_t seed) {
    const long long row = 3 * heads * dim + extra;
    const size_t count = size_t(items) * length * heads * dim;
    Buffer<bf16> qkv(items * length * row);
    Buffer<float> bias(size_t(heads) * (2 * length - 1)), expected(count);
    fill_normal(qkv.data, qkv.count, seed, sharpness);
    fill_normal(bias.data, bias.count, seed + 1, 3.f);
    const std::string shape = text("length %d, %d heads of %d, %d items", length, heads, dim, items);
    for (const float* b : {static_cast<const float*>(bias.data), static_cast<const float*>(nullptr)}) {
        if (!b && dim != 64) continue;
        const double scale = b ? 1 : 0.125;  // T5 does not scale
        const bf16 *k = qkv.data + heads * dim, *v = k + heads * dim;
        const int shared = length * int(sizeof(double));
        CHECK(cudaFuncSetAttribute(attention_reference, cudaFuncAttributeMaxDynamicSharedMemorySize, 96 << 10));
        attention_reference<<<dim3(length, heads, items), 128, shared>>>(qkv.data, k, v, row, row * length,
                                                                        expected.data, length, heads, dim, b, scale);
        CHECK(cudaGetLastError());
        check<bf16>(b ? "attention_bias" : "attention_causal", shape, count, expected.data, 1e-2, [&](bf16* out) {
            call.attention(qkv.data, row, out, length, heads, dim, items, b, float(scale));
        });
    }
}

int check_all(const Calls& call) {
    check_rows(call, 1, 1, 8, 10);
    check_rows(call, 7, 3, 128, 20);
    check_rows(call, 33, 2, 320, 30);
    check_rows(call, 77, 1, 768, 40);
    check_rows(call, 13, 1, 1288, 50);
    check_rows(call, 512, 1, 4096, 60);
    check_rows(call, 100, 1, 10240, 70);
    uint64_t seed = 100;
    for (float sharpness : {0.5f, 1.5f}) {
        for (int length : {1, 2, 32, 63, 64, 65, 77, 127, 128, 129, 200, 256, 300}) {
            check_attention(call, length, 3, 64, 2, 8, sharpness, seed += 2);
            check_attention(call, length, 4, 32, 2, 0, sharpness, seed += 2);
        }
        check_attention(call, 512, 64, 64, 1, 0, sharpness, seed += 2);
        check_attention(call, 77, 12, 64, 1, 0, sharpness, seed += 2);
        check_attention(call, 32, 4, 32, 1, 0, sharpness, seed += 2);
        check_attention(call, 2048, 2, 64, 1, 0, sharpness, seed += 2);
        check_attention(call, 5000, 1, 64, 1, 0, sharpness, seed += 2);
    }
    std::printf("%s\n", failures ? "text: FAILED" : "text: all checks passed");
    return failures != 0;
}

// ---- times ----

void time_kernels(const Calls& call) {
    constexpr int sets = 3;
    struct Size {
        const char* name;
        int tokens, width, heads, dim, mlp;
        bool t5;
    };
    for (const Size& s :
         {Size{"T5-XXL", 512, 4096, 64, 64, 10240, true}, Size{"T5-XXL", 256, 4096, 64, 64, 10240, true},
          Size{"CLIP-L", 77, 768, 12, 64, 3072, false}}) {
        const size_t LH = size_t(s.tokens) * s.width, LF = size_t(s.tokens) * s.mlp;
        std::vector<Buffer<float>> x;
        std::vector<Buffer<bf16>> y, qkv, fused, out;
        for (int i = 0; i < sets; ++i) {
            fill_normal(x.emplace_back(LH).data, LH, i);
            fill_normal(y.emplace_back(LH).data, LH, 10 + i);
            fill_normal(qkv.emplace_back(3 * LH).data, 3 * LH, 20 + i, 0.5f);
            fill_normal(fused.emplace_back(2 * LF).data, 2 * LF, 30 + i);
            out.emplace_back(std::max(LH, LF));
        }
        Buffer<bf16> table(size_t(32128) * s.width), weight(s.width), shift(s.width);
        Buffer<float> bias(size_t(s.heads) * (2 * s.tokens - 1));
        Buffer<unsigned> ids = random_ids(s.tokens, 32128);
        fill_normal(table.data, table.count, 1);
        fill_normal(weight.data, weight.count, 2);
        fill_normal(shift.data, shift.count, 3);
        fill_normal(bias.data, bias.count, 4);
        const auto report = [&](const char* what, double bytes, double flop, const std::function<void(int)>& run) {
            const double ms = time_ms([&](int i) { run(i % sets); }, 30, 9);
            std::printf("time %s L=%-4d %-18s %7.1f us", s.name, s.tokens, what, ms * 1e3);
            if (flop > 0)
                std::printf(" %6.0f TFLOP/s\n", flop / ms / 1e9);
            else
                std::printf(" %6.0f GB/s\n", bytes / ms / 1e6);
        };
        const bf16* b = s.t5 ? nullptr : shift.data;
        report("embed_rows", 6. * LH, 0, [&](int i) {
            call.embed(ids.data, table.data, nullptr, s.tokens, x[i].data, s.tokens, s.width);
        });
        report("add_norm", 12. * LH, 0, [&](int i) {
            call.norm(x[i].data, s.width, y[i].data, s.width, weight.data, b, out[i].data, s.tokens, s.width, 1e-6f);
        });
        report("norm", 6. * LH, 0, [&](int i) {
            call.norm(x[i].data, s.width, nullptr, 0, weight.data, b, out[i].data, s.tokens, s.width, 1e-6f);
        });
        report("attention", 0, 4. * LH * s.tokens, [&](int i) {
            call.attention(qkv[i].data, 3 * s.width, out[i].data, s.tokens, s.heads, s.dim, 1,
                           s.t5 ? bias.data : nullptr, s.t5 ? 1.f : 0.125f);
        });
        report("activation", (s.t5 ? 6. : 4.) * LF, 0, [&](int i) {
            call.activation(s.t5 ? "gated_gelu" : "quick_gelu", fused[i].data, s.t5 ? 2 * s.mlp : s.mlp, out[i].data,
                            s.tokens, s.mlp);
        });
    }
}

// ---- whole encoders ----

struct Size {
    const char* name;
    int layers, tokens, width, heads, dim, mlp, vocabulary;
    bool t5;
    int inner() const { return heads * dim; }
    int hidden() const { return t5 ? 2 * mlp : mlp; }  // columns before the activation
    size_t layer_weights() const { return size_t(width) * (4 * inner() + hidden() + mlp); }
};

// The share of each kind of work, by leaving out the others.
enum Kind { kLinear = 1, kAttention = 2, kBetween = 4, kAll = 7 };

struct Encoder {
    Size s;
    Calls call;
    cublasLtHandle_t handle;
    int kinds = kAll;
    size_t cursor = 0;
    Buffer<bf16> weights, table, norm, shift, biases, normed, qkv, attended, hidden, activated, branch;
    Buffer<float> x, distances;
    Buffer<unsigned> ids;
    Buffer<uint8_t> workspace;
    std::map<std::tuple<int, int>, std::unique_ptr<Linear>> linears;

    Encoder(const Size& s, const Calls& call, cublasLtHandle_t handle)
        : s(s),
          call(call),
          handle(handle),
          weights(s.layers * s.layer_weights()),
          table(size_t(s.vocabulary) * s.width),
          norm(s.width),
          shift(s.width),
          biases(std::max(3 * s.inner(), s.hidden())),
          normed(size_t(s.tokens) * s.width),
          qkv(size_t(s.tokens) * 3 * s.inner()),
          attended(size_t(s.tokens) * s.inner()),
          hidden(size_t(s.tokens) * s.hidden()),
          activated(size_t(s.tokens) * s.mlp),
          branch(size_t(s.tokens) * s.width),
          x(size_t(s.tokens) * s.width),
          distances(size_t(s.heads) * (2 * s.tokens - 1)),
          ids(random_ids(s.tokens, s.vocabulary)),
          workspace(kLinearWorkspace) {
        fill_normal(weights.data, weights.count, 1, 1 / std::sqrt(float(s.width)));
        fill_normal(table.data, table.count, 2);
        fill_normal(norm.data, norm.count, 3, 0.1f, 0.5f);
        fill_normal(shift.data, shift.count, 4, 0.1f);
        fill_normal(biases.data, biases.count, 5, 0.1f);
        fill_normal(distances.data, distances.count, 6);
        for (Buffer<bf16>* b : {&normed, &qkv, &attended, &hidden, &activated, &branch})
            fill_normal(b->data, b->count, 7);
    }

    void linear(const bf16* in, int n, int k, bf16* out) {
        const bf16* weight = weights.data + cursor;
        cursor += size_t(n) * k;
        auto& slot = linears[{n, k}];
        const auto run = [&](int) {
            return slot->run(handle, in, nullptr, weight, nullptr, biases.data, out, workspace.data, call.stream);
        };
        if (!slot) {
            slot = std::make_unique<Linear>(handle, LinearShape{s.tokens, n, k, Precision::bf16, !s.t5, false}, n);
            slot->choose(run, call.stream);
        }
        if (kinds & kLinear) CHECK(run(0));
    }
    void add_norm(const bf16* y) {
        if (kinds & kBetween)
            call.norm(x.data, s.width, y, s.width, norm.data, s.t5 ? nullptr : shift.data, normed.data, s.tokens,
                      s.width, 1e-6f);
    }
    void run(int which) {
        kinds = which, cursor = 0;
        if (kinds & kBetween)
            call.embed(ids.data, table.data, s.t5 ? nullptr : table.data, s.tokens, x.data, s.tokens, s.width);
        for (int layer = 0; layer < s.layers; ++layer) {
            add_norm(layer ? branch.data : nullptr);
            linear(normed.data, 3 * s.inner(), s.width, qkv.data);
            if (kinds & kAttention)
                call.attention(qkv.data, 3 * s.inner(), attended.data, s.tokens, s.heads, s.dim, 1,
                               s.t5 ? distances.data : nullptr, s.t5 ? 1.f : 1 / std::sqrt(float(s.dim)));
            linear(attended.data, s.width, s.inner(), branch.data);
            add_norm(branch.data);
            linear(normed.data, s.hidden(), s.width, hidden.data);
            if (kinds & kBetween)
                call.activation(s.t5 ? "gated_gelu" : "quick_gelu", hidden.data, s.hidden(), activated.data, s.tokens,
                                s.mlp);
            linear(activated.data, s.width, s.mlp, branch.data);
        }
        add_norm(branch.data);
    }
    double graph_ms(int which) {
        cudaGraph_t graph;
        cudaGraphExec_t executable;
        CHECK(cudaStreamBeginCapture(call.stream, cudaStreamCaptureModeThreadLocal));
        run(which);
        CHECK(cudaStreamEndCapture(call.stream, &graph));
        CHECK(cudaGraphInstantiate(&executable, graph, 0));
        const double ms = time_ms([&](int) { CHECK(cudaGraphLaunch(executable, call.stream)); }, 3, 9, call.stream);
        CHECK(cudaGraphExecDestroy(executable));
        CHECK(cudaGraphDestroy(graph));
        return ms;
    }
};

void time_encoders(Calls call) {
    cublasLtHandle_t handle;
    CHECK(cublasLtCreate(&handle));
    CHECK(cudaStreamCreate(&call.stream));
    std::printf("%-8s %6s %9s %9s | graph: linear attention between (ms)\n", "encoder", "tokens", "stream", "graph");
    for (const Size& s : {Size{"T5-XXL", 24, 512, 4096, 64, 64, 10240, 32128, true},
                          Size{"T5-XXL", 24, 256, 4096, 64, 64, 10240, 32128, true},
                          Size{"CLIP-L", 12, 77, 768, 12, 64, 3072, 49408, false}}) {
        Encoder encoder(s, call, handle);
        encoder.run(kAll);
        CHECK(cudaStreamSynchronize(call.stream));
        const double stream = time_ms([&](int) { encoder.run(kAll); }, 3, 9, call.stream);
        const double graph = encoder.graph_ms(kAll);
        // Numbers gone bad would draw less power and run faster.
        if (any_nan(encoder.normed.data, encoder.normed.count) ||
            any_nan(encoder.attended.data, encoder.attended.count))
            std::printf("not a fair time: NaN in the activations\n");
        const double linear = encoder.graph_ms(kLinear);
        std::printf("%-8s %6d %9.2f %9.2f | %6.2f %6.2f %6.2f   linear %.0f TFLOP/s\n", s.name, s.tokens, stream, graph,
                    linear, encoder.graph_ms(kAttention), encoder.graph_ms(kBetween),
                    2. * s.tokens * s.layers * s.layer_weights() / linear / 1e9);
        std::fflush(stdout);
    }
}

}  // namespace

int text_main(int argc, char** argv) {
    if (argc < 2) return 2;
    Module module(argv[0]);
    const Calls call{module};
    if (!std::strcmp(argv[1], "time")) {
        time_kernels(call);
    } else if (!std::strcmp(argv[1], "encode")) {
        time_encoders(call);
    } else {
        return check_all(call);
    }
    return 0;
}
