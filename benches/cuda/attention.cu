// Attention kernels: correctness against a plain fp32 kernel on fresh random inputs, and times.
//   harness attention MODULE check|time KERNEL...
// A KERNEL is name:head_dim:key_block:groups:stages for sm90 kernels, name:head_dim:key_block:sm80 for the others; the
// numbers are those of its template arguments.
#include "harness.h"

#include <cstring>
#include <memory>
#include <sstream>

namespace {

// One query row of one head a block; scores in shared memory, sums in double. Only rows 0, every, 2 * every, ...
__global__ void reference_kernel(const bf16* q, const bf16* k, const bf16* v, float* out, int64_t q_row, int64_t k_row,
                                 int64_t v_row, int64_t head_stride, int length, int heads, int head_dim, float scale,
                                 int every) {
    extern __shared__ float scores[];
    __shared__ double total;
    __shared__ float top;
    const int row = blockIdx.x * every, head = blockIdx.y;
    const int64_t batch = blockIdx.z;
    q += batch * length * q_row + row * q_row + head * head_stride;
    k += batch * length * k_row + head * head_stride;
    v += batch * length * v_row + head * head_stride;
    for (int j = threadIdx.x; j < length; j += blockDim.x) {
        float sum = 0;
        for (int d = 0; d < head_dim; ++d) sum += float(q[d]) * float(k[j * k_row + d]);
        scores[j] = sum * scale;
    }
    __syncthreads();
    if (threadIdx.x < 32) {
        float m = -INFINITY;
        for (int j = threadIdx.x; j < length; j += 32) m = fmaxf(m, scores[j]);
        for (int s = 16; s; s /= 2) m = fmaxf(m, __shfl_xor_sync(~0u, m, s));
        double t = 0;
        for (int j = threadIdx.x; j < length; j += 32) t += exp(double(scores[j] - m));
        for (int s = 16; s; s /= 2) t += __shfl_xor_sync(~0u, t, s);
        if (threadIdx.x == 0) top = m, total = t;
    }
    __syncthreads();
    for (int j = threadIdx.x; j < length; j += blockDim.x) scores[j] = expf(scores[j] - top);
    __syncthreads();
    for (int d = threadIdx.x; d < head_dim; d += blockDim.x) {
        double sum = 0;
        for (int j = 0; j < length; ++j) sum += double(scores[j]) * double(float(v[j * v_row + d]));
        out[((batch * length + row) * heads + head) * head_dim + d] = float(sum / total);
    }
}

struct Kernel {
    std::string name;
    int head_dim, block, groups = 2, stages = 2;
    bool tensor_maps = true;
    CUfunction function;
    int shared_bytes, threads;
};

Kernel parse(const Module& module, const std::string& text) {
    std::stringstream in(text);
    std::vector<std::string> parts;
    for (std::string part; std::getline(in, part, ':');) parts.push_back(part);
    Kernel k;
    k.name = parts.at(0);
    k.head_dim = std::stoi(parts.at(1));
    k.block = std::stoi(parts.at(2));
    k.tensor_maps = parts.at(3) != "sm80";
    if (k.tensor_maps) {
        k.groups = std::stoi(parts.at(3));
        k.stages = std::stoi(parts.at(4));
        k.shared_bytes = 1024 + k.groups * 64 * k.head_dim * 2 + 2 * k.stages * k.block * k.head_dim * 2 + 256;
        k.threads = 128 * (k.groups + 1);
    } else {
        k.shared_bytes = (128 + 2 * k.block) * k.head_dim * 2;
        k.threads = 128;
    }
    k.function = module.function(k.name.c_str(), k.shared_bytes);
    return k;
}

struct Shape {
    int length, heads, head_dim, batch;
    int64_t extra = -1;  // columns after q, k, v in one fused buffer; -1: three dense buffers
    int queries = 0;     // fewer queries than keys; 0: as many. Wants a batch of one.
    bool fused() const { return extra >= 0; }
    int query_rows() const { return queries ? queries : length; }
};

// q, k, v either as dense [batch, length, heads, head_dim] buffers or as slices of one [.., 3 * heads * head_dim +
// extra].
struct Inputs {
    Shape shape;
    int64_t width, row;
    std::unique_ptr<Buffer<bf16>> storage;
    bf16 *q, *k, *v;
    Inputs(const Shape& s, uint64_t seed, float sharpness) : shape(s), width(int64_t(s.heads) * s.head_dim) {
        const size_t rows = size_t(s.batch) * s.length;
        row = s.fused() ? 3 * width + s.extra : width;
        storage = std::make_unique<Buffer<bf16>>(rows * (s.fused() ? row : 3 * width));
        fill_normal(storage->data, storage->count, seed, sharpness);
        q = storage->data;
        k = q + (s.fused() ? width : rows * width);
        v = k + (s.fused() ? width : rows * width);
    }
};

struct Call {
    const Kernel& kernel;
    const Inputs& in;
    Buffer<bf16>& out;
    Buffer<float>& partials;
    Buffer<unsigned>& flags;
    CUtensorMap q_map, k_map, v_map;
    long long out_row, out_head, out_batch, in_row, in_head, in_batch;
    int queries, length, heads, batch;
    float scale_log2;
    dim3 grid;

    Call(const Kernel& kernel, const Inputs& in, Buffer<bf16>& out, Buffer<float>& partials, Buffer<unsigned>& flags)
        : kernel(kernel), in(in), out(out), partials(partials), flags(flags) {
        const Shape& s = in.shape;
        queries = s.query_rows(), length = s.length, heads = s.heads, batch = s.batch;
        in_row = in.row, in_head = s.head_dim, in_batch = in.row * s.length;
        out_row = in.width, out_head = s.head_dim, out_batch = in.width * s.length;
        scale_log2 = 1.44269504f / std::sqrt(float(s.head_dim));
        if (kernel.tensor_maps) {
            const int panels = s.head_dim / 64;
            q_map = map(in.q, queries, 64, panels);
            k_map = map(in.k, length, kernel.block, panels);
            v_map = map(in.v, length, kernel.block, panels);
            const int rows = 64 * kernel.groups;
            const int blocks = (length + kernel.block - 1) / kernel.block;
            const int tiles = (queries + rows - 1) / rows * heads * batch;
            grid = dim3(std::min(multiprocessors(), tiles * blocks));
        } else {
            grid = dim3((queries + 127) / 128, heads, batch);
        }
    }
    CUtensorMap map(const bf16* data, int length, int rows, int panels) const {
        return attention_map(data, length, in.shape.head_dim, heads, batch, in_row, in_head, in_batch, rows, panels);
    }
    void operator()() {
        if (kernel.tensor_maps) {
            launch(kernel.function, grid, kernel.threads, kernel.shared_bytes,
                   {&q_map, &k_map, &v_map, &out.data, &out_row, &out_head, &out_batch, &queries, &length, &heads,
                    &batch, &scale_log2, &partials.data, &flags.data});
        } else {
            const bf16 *q = in.q, *k = in.k, *v = in.v;
            launch(kernel.function, grid, kernel.threads, kernel.shared_bytes,
                   {&q,        &in_row,    &in_head, &in_batch, &k,        &in_row,    &in_head,
                    &in_batch, &v,         &in_row,  &in_head,  &in_batch, &out.data,  &out_row,
                    &out_head, &out_batch, &queries, &length,   &heads,    &scale_log2});
        }
    }
};

constexpr int kWorkspaceBlocks = 256;

void reference(const Inputs& in, Buffer<float>& out, int every) {
    const Shape& s = in.shape;
    reference_kernel<<<dim3((s.query_rows() + every - 1) / every, s.heads, s.batch), 128, (s.length + 4) * 4>>>(
        in.q, in.k, in.v, out.data, in.row, in.row, in.row, s.head_dim, s.length, s.heads, s.head_dim,
        1.f / std::sqrt(float(s.head_dim)), every);
    CHECK(cudaGetLastError());
}

// The same input 200 times gives the same bits: pieces of tiles meet in a fixed order whatever the timing.
int soak(const std::vector<Kernel>& kernels, Buffer<float>& partials, Buffer<unsigned>& flags) {
    int failures = 0;
    for (const Kernel& k : kernels) {
        for (int length : {1000, 1536}) {
            Inputs in({length, 24, k.head_dim, 1, 0}, 99, 1.f);
            const size_t count = size_t(length) * in.width;
            Buffer<bf16> first(count), out(count);
            Call(k, in, first, partials, flags)();
            int different = 0;
            for (int i = 0; i < 200; ++i) {
                out.poison();
                Call(k, in, out, partials, flags)();
                different += !same_bytes(first.data, out.data, count * 2);
            }
            if (different) std::printf("FAIL %s L=%d: %d of 200 repeats differ\n", k.name.c_str(), length, different);
            failures += different;
        }
    }
    return failures;
}

int check(const std::vector<Kernel>& kernels, bool small) {
    std::vector<Shape> shapes = {
        {1, 1, 128, 1},      {77, 3, 128, 2},         {96, 24, 128, 1, 0},       {177, 2, 128, 1, 64},
        {257, 5, 128, 2, 8}, {300, 3, 128, 1, 0, 77}, {400, 2, 128, 1, -1, 129},
    };
    if (!small) {
        shapes.push_back({1000, 24, 128, 1, 12288});
        shapes.push_back({1536, 24, 128, 1, 0});
        shapes.push_back({2048, 24, 128, 1, 0, 500});
        shapes.push_back({2816, 24, 128, 1, 12288});
        shapes.push_back({4608, 24, 128, 1, 0});
        shapes.push_back({1111, 7, 128, 3, 16});
    }
    const size_t many = shapes.size();
    for (size_t i = 0; i < many; ++i) shapes.push_back(shapes[i]), shapes.back().head_dim = 64;
    Buffer<float> partials(size_t(kWorkspaceBlocks) * 3 * 64 * 130);
    Buffer<unsigned> flags(kWorkspaceBlocks * 3);
    flags.zero();
    int failures = 0;
    uint64_t seed = 1;
    std::vector<double> worst(kernels.size(), 0);
    for (const Shape& s : shapes) {
        for (float sharpness : {1.f, 3.f}) {
            Inputs in(s, ++seed, sharpness);
            const size_t rows = size_t(s.batch) * s.query_rows(), count = rows * in.width;
            const int every = s.batch == 1 && s.length > 2000 ? 7 : 1;
            Buffer<float> expected(count);
            reference(in, expected, every);
            for (size_t i = 0; i < kernels.size(); ++i) {
                const Kernel& k = kernels[i];
                if (k.head_dim != s.head_dim) continue;
                Buffer<bf16> out(count), again(count);
                Call(k, in, out, partials, flags)();
                Call(k, in, again, partials, flags)();
                CHECK(cudaDeviceSynchronize());
                const double e = relative_error(out.data, expected.data, rows, in.width, every);
                const bool good = e < 1e-2 && !any_nan(out.data, count) && same_bytes(out.data, again.data, count * 2);
                worst[i] = std::max(worst[i], std::isnan(e) ? 1e9 : e);
                if (!good) {
                    ++failures;
                    std::printf(
                        "FAIL %s L=%d/%d heads=%d batch=%d row=%lld sharpness %.0f: error %.2e, nan %d, repeats %d\n",
                        k.name.c_str(), s.query_rows(), s.length, s.heads, s.batch, (long long)in.row, sharpness, e,
                        any_nan(out.data, count), same_bytes(out.data, again.data, count * 2));
                }
            }
        }
    }
    if (!small) failures += soak(kernels, partials, flags);
    for (unsigned flag : flags.host())
        if (flag) return std::printf("FAIL a flag is left up\n"), failures + 1;
    for (size_t i = 0; i < kernels.size(); ++i)
        std::printf("check %-24s worst relative error %.2e\n", kernels[i].name.c_str(), worst[i]);
    return failures;
}

// Kernels take turns within each round: a hot card slows down, and all should suffer alike.
void time_all(const std::vector<Kernel>& kernels) {
    Buffer<float> partials(size_t(kWorkspaceBlocks) * 3 * 64 * 130);
    Buffer<unsigned> flags(kWorkspaceBlocks * 3);
    flags.zero();
    const int lengths[] = {512, 1536, 2048, 2816, 4608};
    std::vector<std::string> lines;
    for (const Kernel& k : kernels) lines.push_back(k.name + std::string(std::max<int>(1, 24 - k.name.size()), ' '));
    for (int length : lengths) {
        std::vector<std::vector<double>> times(kernels.size());
        Inputs wide[2] = {{{length, 24, 128, 1, 0}, 1, 1.f}, {{length, 24, 128, 1, 0}, 2, 1.f}};
        Inputs narrow[2] = {{{length, 48, 64, 1, 0}, 1, 1.f}, {{length, 48, 64, 1, 0}, 2, 1.f}};
        Buffer<bf16> out(size_t(length) * 3072);
        for (int round = 0; round < 9; ++round) {
            for (size_t i = 0; i < kernels.size(); ++i) {
                Inputs* in = kernels[i].head_dim == 128 ? wide : narrow;
                Call calls[2] = {{kernels[i], in[0], out, partials, flags}, {kernels[i], in[1], out, partials, flags}};
                times[i].push_back(time_ms([&](int n) { calls[n & 1](); }, 20, 1));
            }
        }
        for (size_t i = 0; i < kernels.size(); ++i) {
            std::sort(times[i].begin(), times[i].end());
            const double ms = times[i][4];
            char cell[64];
            std::snprintf(cell, sizeof cell, "  %9.1f %5.0f", ms * 1e3, 4.0 * length * length * 3072 / ms / 1e9);
            lines[i] += cell;
        }
    }
    std::printf("%-24s", "us and TFLOP/s at");
    for (int length : lengths) std::printf("  L=%-13d", length);
    std::printf("\n");
    for (const std::string& line : lines) std::printf("%s\n", line.c_str());
}

}  // namespace

int attention_main(int argc, char** argv) {
    if (argc < 3) return 2;
    Module module(argv[0]);
    std::vector<Kernel> kernels;
    for (int i = 2; i < argc; ++i) kernels.push_back(parse(module, argv[i]));
    if (!std::strcmp(argv[1], "time")) {
        time_all(kernels);
        return 0;
    }
    const int failures = check(kernels, !std::strcmp(argv[1], "check-small"));
    std::printf("%s\n", failures ? "attention: FAILED" : "attention: all checks passed");
    return failures != 0;
}
