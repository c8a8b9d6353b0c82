// One step of FLUX.1-dev's transformer as the engine would run it: all linear layers, attention and the kernels
// between, back to back on random buffers of the right shapes, 19 double and 38 single blocks, every block its own
// weights. The numbers mean nothing; the time is what a step can take.
//   harness step ATTENTION_MODULE ELEMENTWISE_MODULE ATTENTION_KERNEL:block:groups:stages [MODE]
#include <cstring>
#include <map>
#include <sstream>
#include <tuple>

#include "linear.h"

namespace {

constexpr int kHidden = 3072, kHeads = 24, kDim = 128, kMlp = 12288, kText = 512, kDouble = 19, kSingle = 38;

struct AttentionKernel {
    std::string name;
    int block, groups, stages;
};

// The share of each kind of work, by running the step with all other kinds left out.
enum Kind { kLinear = 1, kAttention = 2, kBetween = 4, kAll = 7 };

struct Step {
    Module &attention_module, &elementwise;
    AttentionKernel attention;
    Precision precision;
    bool bias;
    bool plain;  // fp8 layers whose output goes into a residual leave scales and bias to the kernel that adds it
    int tokens;  // text and image
    cublasLtHandle_t handle;
    cudaStream_t stream;
    int kinds = kAll;

    size_t element, weight_cursor = 0;
    Buffer<uint8_t> weights, input8, mlp8, workspace;
    Buffer<bf16> x, fused, branch, attended, input16, mlp16, modulation, norms, biases;
    Buffer<float> scales, mlp_scales, weight_scales, cos_sin, partials;
    Buffer<unsigned> flags;
    std::map<std::tuple<int, int, int, long long>, std::unique_ptr<Linear>> linears;
    CUfunction attend_function, norm, residual_norm, rope, gelu, quantize;
    int attend_shared, attend_grid;
    long long H = kHidden, fused_stride = 0;
    float epsilon = 1e-6f;

    bool fp8_path() const { return precision != Precision::bf16; }

    Step(Module& attention_module, Module& elementwise, AttentionKernel attention, Precision precision, bool bias,
         bool plain, int tokens, cublasLtHandle_t handle, cudaStream_t stream)
        : attention_module(attention_module),
          elementwise(elementwise),
          attention(attention),
          precision(precision),
          bias(bias),
          plain(plain),
          tokens(tokens),
          handle(handle),
          stream(stream),
          element(precision == Precision::bf16 ? 2 : 1),
          weights((size_t(kDouble) * 2 * 12 * kHidden * kHidden + size_t(kSingle) * 12 * kHidden * kHidden) * element),
          input8(size_t(tokens) * (kHidden + kMlp)),
          mlp8(size_t(tokens) * (kHidden + kMlp)),
          workspace(kLinearWorkspace),
          x(size_t(tokens) * kHidden),
          fused(size_t(tokens) * 21504),
          branch(size_t(tokens) * kHidden),
          attended(size_t(tokens) * kHidden),
          input16(size_t(tokens) * (kHidden + kMlp)),
          mlp16(size_t(tokens) * (kHidden + kMlp)),
          modulation(6 * kHidden),
          norms(4 * kDim),
          biases(21504),
          scales(tokens),
          mlp_scales(tokens),
          weight_scales(21504),
          cos_sin(size_t(tokens) * kDim),
          partials(size_t(160) * 3 * 64 * 130),
          flags(160 * 3) {
        if (fp8_path())
            fill_normal(reinterpret_cast<fp8*>(weights.data), weights.count, 1, 40.f);
        else
            fill_normal(reinterpret_cast<bf16*>(weights.data), weights.count / 2, 1, 0.02f);
        fill_normal(x.data, x.count, 2);
        fill_normal(modulation.data, modulation.count, 3, 0.1f);
        fill_normal(norms.data, norms.count, 4, 0.1f, 1.f);
        fill_normal(biases.data, biases.count, 5, 0.1f);
        fill_normal(weight_scales.data, weight_scales.count, 6, 1e-5f, 5e-4f);
        fill_normal(cos_sin.data, cos_sin.count, 7, 0.7f);
        fill_normal(fused.data, fused.count, 8);
        fill_normal(branch.data, branch.count, 9);
        fill_normal(attended.data, attended.count, 10);
        fill_normal(reinterpret_cast<fp8*>(input8.data), input8.count, 11, 40.f);
        fill_normal(reinterpret_cast<fp8*>(mlp8.data), mlp8.count, 12, 40.f);
        fill_normal(input16.data, input16.count, 13);
        fill_normal(mlp16.data, mlp16.count, 14);
        fill_normal(scales.data, scales.count, 15, 1e-3f, 0.01f);
        fill_normal(mlp_scales.data, mlp_scales.count, 16, 1e-3f, 0.01f);
        flags.zero();
        attend_shared =
            1024 + attention.groups * 64 * kDim * 2 + 2 * attention.stages * attention.block * kDim * 2 + 256;
        attend_function = attention_module.function(attention.name.c_str(), attend_shared);
        const int rows = 64 * attention.groups;
        attend_grid = std::min(multiprocessors(), (tokens + rows - 1) / rows * kHeads *
                                                      ((tokens + attention.block - 1) / attention.block));
        norm = elementwise.function(fp8_path() ? "norm_modulate_fp8" : "norm_modulate_bf16");
        residual_norm = elementwise.function(fp8_path() ? "residual_norm_modulate_fp8" : "residual_norm_modulate_bf16");
        rope = elementwise.function("qk_norm_rope_d128");
        gelu = elementwise.function(fp8_path() ? "gelu_fp8" : "gelu_bf16");
        quantize = elementwise.function("quantize_rows_fp8");
    }

    // Chosen by timing once a shape and kept.
    Linear& linear_for(int m, int n, int k, long long out_stride) {
        auto& slot = linears[{m, n, k, out_stride}];
        if (!slot) {
            const bool leave = plain && n == kHidden;
            slot = std::make_unique<Linear>(
                handle, LinearShape{m, n, k, leave ? Precision::fp8_tensor : precision, bias && !leave, true},
                out_stride);
            slot->choose(
                [&](int) {
                    const void* in = fp8_path() ? static_cast<const void*>(mlp8.data) : mlp16.data;
                    return slot->run(handle, in, mlp_scales.data, weights.data, weight_scales.data, biases.data,
                                     fused.data, workspace.data, stream);
                },
                stream);
        }
        return *slot;
    }

    // Rows [from, from + m) of x times the next weights.
    void linear(const uint8_t* in8, const bf16* in16, const float* in_scales, int from, int m, int n, int k, bf16* out,
                long long out_stride) {
        Linear& layer = linear_for(m, n, k, out_stride);
        const uint8_t* weight = weights.data + weight_cursor;
        weight_cursor += size_t(n) * k * element;
        if (!(kinds & kLinear)) return;
        const void* in = fp8_path() ? static_cast<const void*>(in8 + size_t(from) * k) : in16 + size_t(from) * k;
        CHECK(layer.run(handle, in, in_scales + from, weight, weight_scales.data, biases.data, out + from * out_stride,
                        workspace.data, stream));
    }

    void between_rows(CUfunction f, int width, std::vector<void*> arguments, int chunks = kRowChunks) {
        const dim3 block = row_block(width, chunks);
        if (kinds & kBetween) launch(f, (tokens + block.y - 1) / block.y, block, 0, arguments, stream);
    }

    // x += gate * branch, then norm, modulation and (fp8) quantisation into `input`; text rows by the first modulation,
    // image rows by the second.
    void residual_norm_rows(bool two_streams) {
        bf16 *gate = modulation.data, *shift = gate + kHidden, *scale = shift + kHidden;
        int width = kHidden, split = two_streams ? kText : tokens;
        long long second = 3 * kHidden, item = 0;
        void* out = fp8_path() ? static_cast<void*>(input8.data) : input16.data;
        std::vector<void*> arguments = {&x.data, &H,      &branch.data, &H,      &gate, &x.data, &shift,
                                        &scale,  &tokens, &split,       &second, &item, &out,    &H};
        if (fp8_path()) arguments.push_back(&scales.data);
        for (void* last : {static_cast<void*>(&tokens), static_cast<void*>(&width), static_cast<void*>(&epsilon)})
            arguments.push_back(last);
        between_rows(residual_norm, kHidden, arguments);
    }

    void rope_rows(bool two_streams, long long stride) {
        bf16 *k = fused.data + kHidden, *v = nullptr, *k_norm = norms.data + kDim;
        int heads = kHeads, split = two_streams ? kText : tokens;
        long long second = 2 * kDim;
        if (kinds & kBetween)
            launch(rope, tokens, 256, 0,
                   {&fused.data, &stride, &fused.data, &stride, &k, &stride, &v, &stride, &norms.data, &k_norm, &tokens,
                    &split, &second, &cos_sin.data, &heads, &epsilon},
                   stream);
    }

    void attend(long long stride, bf16* out, long long out_stride) {
        if (!(kinds & kAttention)) return;
        auto map = [&](int part, int rows) {
            return attention_map(fused.data + part * kHidden, tokens, kDim, kHeads, 1, stride, kDim, stride * tokens,
                                 rows, 2);
        };
        CUtensorMap q = map(0, 64), k = map(1, attention.block), v = map(2, attention.block);
        long long head = kDim, batch_stride = out_stride * tokens;
        int heads = kHeads, batch = 1;
        float scale = 1.44269504f / std::sqrt(float(kDim));
        launch(attend_function, attend_grid, 128 * (attention.groups + 1), attend_shared,
               {&q, &k, &v, &out, &out_stride, &head, &batch_stride, &tokens, &tokens, &heads, &batch, &scale,
                &partials.data, &flags.data},
               stream);
    }

    void quantize_attended() {
        if (!fp8_path()) return;
        int width = kHidden;
        between_rows(quantize, kHidden, {&attended.data, &H, &input8.data, &H, &scales.data, &tokens, &width});
    }

    // GELU of a slice of `fused`; in fp8 with the attention's output quantised before it where `first`.
    void gelu_rows(const bf16* in, long long stride, bool first) {
        int width = kMlp, first_width = first ? kHidden : 0;
        long long out_stride = kMlp + (first ? kHidden : 0);
        if (fp8_path()) {
            between_rows(gelu, first_width + kMlp,
                         {&attended.data, &H, &first_width, &in, &stride, &width, &mlp8.data, &out_stride,
                          &mlp_scales.data, &tokens},
                         kLongRowChunks);
        } else {
            bf16* out = mlp16.data + first_width;
            between_rows(gelu, kMlp, {&in, &stride, &out, &out_stride, &tokens, &width});
        }
    }

    // Text is rows [0, 512), image the rest; the two streams' products are separate, what has no weights is joint.
    void double_block() {
        const int image = tokens - kText;
        const std::pair<int, int> streams[] = {{0, kText}, {kText, image}};
        residual_norm_rows(true);
        for (auto [from, m] : streams)
            linear(input8.data, input16.data, scales.data, from, m, 3 * kHidden, kHidden, fused.data, 3 * kHidden);
        rope_rows(true, 3 * kHidden);
        attend(3 * kHidden, attended.data, kHidden);
        quantize_attended();
        for (auto [from, m] : streams)
            linear(input8.data, attended.data, scales.data, from, m, kHidden, kHidden, branch.data, kHidden);
        residual_norm_rows(true);
        for (auto [from, m] : streams)
            linear(input8.data, input16.data, scales.data, from, m, kMlp, kHidden, fused.data, kMlp);
        gelu_rows(fused.data, kMlp, false);
        for (auto [from, m] : streams)
            linear(mlp8.data, mlp16.data, mlp_scales.data, from, m, kHidden, kMlp, branch.data, kHidden);
    }

    void single_block() {
        const long long stride = 3 * kHidden + kMlp;
        residual_norm_rows(false);
        linear(input8.data, input16.data, scales.data, 0, tokens, 3 * kHidden + kMlp, kHidden, fused.data, stride);
        rope_rows(false, stride);
        if (fp8_path())
            attend(stride, attended.data, kHidden);
        else
            attend(stride, mlp16.data, kHidden + kMlp);  // straight into the row of linear2's input
        gelu_rows(fused.data + 3 * kHidden, stride, true);
        linear(mlp8.data, mlp16.data, mlp_scales.data, 0, tokens, kHidden, kHidden + kMlp, branch.data, kHidden);
    }

    void run(int which) {
        kinds = which;
        weight_cursor = 0;
        for (int i = 0; i < kDouble; ++i) double_block();
        for (int i = 0; i < kSingle; ++i) single_block();
    }
};

double graph_ms(Step& step, int kinds) {
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    CHECK(cudaStreamBeginCapture(step.stream, cudaStreamCaptureModeThreadLocal));
    step.run(kinds);
    CHECK(cudaStreamEndCapture(step.stream, &graph));
    CHECK(cudaGraphInstantiate(&executable, graph, 0));
    const double ms = time_ms([&](int) { CHECK(cudaGraphLaunch(executable, step.stream)); }, 3, 5, step.stream);
    CHECK(cudaGraphExecDestroy(executable));
    CHECK(cudaGraphDestroy(graph));
    return ms;
}

}  // namespace

int step_main(int argc, char** argv) {
    if (argc < 3) return 2;
    Module attention_module(argv[0]), elementwise(argv[1]);
    AttentionKernel kernel;
    {
        std::stringstream in(argv[2]);
        std::string part;
        std::getline(in, kernel.name, ':');
        std::getline(in, part, ':'), kernel.block = std::stoi(part);
        std::getline(in, part, ':'), kernel.groups = std::stoi(part);
        std::getline(in, part, ':'), kernel.stages = std::stoi(part);
    }
    cublasLtHandle_t handle;
    CHECK(cublasLtCreate(&handle));
    cudaStream_t stream;
    CHECK(cudaStreamCreate(&stream));
    struct Mode {
        const char* name;
        Precision precision;
        bool bias, plain;
    };
    const Mode modes[] = {{"fp8 rows + bias", Precision::fp8_rows, true, false},
                          {"fp8 rows, plain", Precision::fp8_rows, true, true},
                          {"fp8 tensor + bias", Precision::fp8_tensor, true, false},
                          {"bf16 + bias", Precision::bf16, true, false}};
    std::printf("%-20s %-6s %9s %9s | graph: linear attention between (ms)\n", "one step", "size", "stream", "graph");
    for (const Mode& mode : modes) {
        if (argc > 3 && !std::strstr(mode.name, argv[3])) continue;
        for (int side : {512, 768, 1024}) {
            const int tokens = side * side / 256 + kText;
            {  // leave out what the library refuses
                Linear probe(handle, {tokens, 21504, kHidden, mode.precision, mode.bias, true}, 21504);
                if (probe.candidates.empty()) {
                    std::printf("%-20s no algorithm: status %d\n", mode.name, probe.status);
                    break;
                }
            }
            Step step(attention_module, elementwise, kernel, mode.precision, mode.bias, mode.plain, tokens, handle,
                      stream);
            step.run(kAll);
            CHECK(cudaStreamSynchronize(stream));
            const double direct = time_ms([&](int) { step.run(kAll); }, 3, 5, stream);
            const double graph = graph_ms(step, kAll);
            std::printf("%-20s %-6d %9.2f %9.2f | %6.2f %6.2f %6.2f\n", mode.name, side, direct, graph,
                        graph_ms(step, kLinear), graph_ms(step, kAttention), graph_ms(step, kBetween));
            std::fflush(stdout);
            // Numbers gone bad would draw less power and run faster.
            if (any_nan(step.x.data, step.x.count) || any_nan(step.fused.data, step.fused.count) ||
                any_nan(step.attended.data, step.attended.count) || any_nan(step.branch.data, step.branch.count))
                std::printf("not a fair time: NaN in the activations\n");
            const auto sample = step.fused.host();
            double squares = 0;
            for (size_t i = 0; i < sample.size(); i += 1009)
                squares += double(float(sample[i])) * double(float(sample[i]));
            std::printf("  root mean square of the fused buffer %.3g\n", std::sqrt(squares / (sample.size() / 1009)));
        }
    }
    return 0;
}
