// The product with what LoRAs add (product_sm90.cu): right, and as fast as what cublasLt gives for the same layer without.
//   harness product DIR [ROWS [RANKS]]     DIR holds product_sm90.fatbin; only the times of so many rows
#include "linear.h"

namespace {

struct Side {
    int ranks;
    int ends[4], firsts[4];
};

struct Layer {
    int m, n, k;
};

constexpr int kRows = 128, kColumns = 192;  // of a tile
constexpr int kShared = 1024 + 4 * (kRows + kColumns) * 128 + kRows * kColumns * 2 + (kRows + kColumns) * 32 +
                        2 * (kColumns * 6 + kRows * 4) + 104;

// Rows of 128 bytes (or 32), so many at a time.
CUtensorMap map_of(const void* data, CUtensorMapDataType type, int size, int rows, int width, int stride, int box_rows,
                   int bytes = 128) {
    CUtensorMap map;
    const cuuint64_t sizes[2] = {cuuint64_t(width), cuuint64_t(rows)}, strides[1] = {cuuint64_t(stride) * size};
    const cuuint32_t box[2] = {cuuint32_t(bytes / size), cuuint32_t(box_rows)}, steps[2] = {1, 1};
    CHECK(cuTensorMapEncodeTiled(&map, type, 2, const_cast<void*>(data), sizes, strides, box, steps,
                                 CU_TENSOR_MAP_INTERLEAVE_NONE,
                                 bytes == 128 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_32B,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
    return map;
}

__global__ void reference_kernel(const fp8* x, const float* x_scale, const fp8* w, const float* w_scale, const bf16* bias,
                                 const bf16* t, int t_width, const bf16* b, Side side, float* out, int n, int k, int every) {
    const int c = blockIdx.x * blockDim.x + threadIdx.x, r = blockIdx.y * every;
    if (c >= n) return;
    double sum = 0;
    for (int i = 0; i < k; ++i) sum += double(float(x[size_t(r) * k + i])) * double(float(w[size_t(c) * k + i]));
    sum *= double(x_scale[r]) * double(w_scale[c]);
    int part = 0;
    while (c >= side.ends[part]) ++part;
    for (int i = 0; i < side.ranks; ++i)
        sum += double(float(t[size_t(r) * t_width + side.firsts[part] + i])) * double(float(b[size_t(c) * side.ranks + i]));
    out[size_t(r) * n + c] = float(sum + double(float(bias[c])));
}

void try_layer(const Module& module, cublasLtHandle_t handle, Layer s, int parts, int ranks, bool timed) {
    const auto [m, n, k] = s;
    const int t_width = std::max(parts * ranks, 16), b_width = std::max(ranks, 8);  // there is no map of nothing
    constexpr int kSets = 3;
    std::vector<Buffer<fp8>> x, w;
    for (int i = 0; i < kSets; ++i) {
        x.emplace_back(size_t(m) * k), w.emplace_back(size_t(n) * k);
        fill_normal(x[i].data, size_t(m) * k, 10 + i, 40.f), fill_normal(w[i].data, size_t(n) * k, 20 + i, 40.f);
    }
    Buffer<float> x_scale(m), w_scale(n);
    fill_normal(x_scale.data, m, 3, 0.1f, 1.f), fill_normal(w_scale.data, n, 4, 0.01f, 0.1f);
    Buffer<bf16> bias(n), out(size_t(m) * n), t(size_t(m) * t_width), b(size_t(n) * b_width);
    fill_normal(bias.data, n, 5, 10.f), fill_normal(t.data, size_t(m) * t_width, 6, 100.f);
    fill_normal(b.data, size_t(n) * b_width, 7, 30.f);
    Side side{ranks, {}, {}};
    const int step = n / kColumns / parts * kColumns;
    for (int i = 0; i < 4; ++i) side.ends[i] = i + 1 < parts ? (i + 1) * step : n, side.firsts[i] = std::min(i, parts - 1) * ranks;

    const CUfunction function = module.function("product_sm90", kShared);
    const int pairs = (m + 2 * kRows - 1) / (2 * kRows) * ((n + kColumns - 1) / kColumns);
    const dim3 grid(std::min(2 * pairs, multiprocessors() / 2 * 2));
    const auto call = [&](int i) {
        CUtensorMap maps[5] = {
            map_of(x[i % kSets].data, CU_TENSOR_MAP_DATA_TYPE_UINT8, 1, m, k, k, kRows),
            map_of(w[i % kSets].data, CU_TENSOR_MAP_DATA_TYPE_UINT8, 1, n, k, k, kColumns / 2),
            map_of(t.data, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, m, t_width, t_width, kRows, 32),
            map_of(b.data, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, n, b_width, b_width, kColumns / 2, 32),
            map_of(out.data, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, m, n, n, kRows / 2)};
        int rows = m, columns = n, inner = k;
        launch(function, grid, dim3(384), kShared,
               {&maps[0], &maps[1], &maps[2], &maps[3], &maps[4], &x_scale.data, &w_scale.data, &bias.data, &rows, &columns,
                &inner, &side});
    };
    constexpr int every = 37;
    Buffer<float> expected(size_t(m) * n);
    reference_kernel<<<dim3((n + 127) / 128, (m + every - 1) / every), 128>>>(
        x[0].data, x_scale.data, w[0].data, w_scale.data, bias.data, t.data, t_width, b.data, side, expected.data, n, k, every);
    CHECK(cudaGetLastError());
    out.poison();
    call(0);
    CHECK(cudaDeviceSynchronize());
    const double error = relative_error(out.data, expected.data, m, n, every);
    std::printf("%5d %6d %6d  %d x %2d  error %.1e %s", m, n, k, parts, ranks, error, error < 4e-3 ? "ok" : "WRONG");
    if (timed) {
        Buffer<uint8_t> workspace(kLinearWorkspace);
        Linear linear(handle, LinearShape{m, n, k, Precision::fp8_rows, true, true}, n);
        const auto library = [&](int i) {
            return linear.run(handle, x[i % kSets].data, x_scale.data, w[i % kSets].data, w_scale.data, bias.data, out.data,
                              workspace.data, nullptr);
        };
        linear.choose(library, nullptr);
        // In turns: the card's clock follows its power.
        double own = 0, theirs = 0;
        for (int turn = 0; turn < 3; ++turn) {
            own += time_ms(call, 20, 5) / 3;
            theirs += time_ms([&](int i) { library(i); }, 20, 5) / 3;
        }
        const double flop = 2.0 * m * n * k / 1e9;
        std::printf("  %7.1f us %5.0f TFLOP/s, cublasLt %7.1f us %5.0f  %+.1f %%", own * 1e3, flop / own, theirs * 1e3,
                    flop / theirs, (own / theirs - 1) * 100);
    }
    std::printf("\n");
    std::fflush(stdout);
}

}  // namespace

int product_main(int argc, char** argv) {
    if (argc < 1) {
        std::fprintf(stderr, "usage: harness product DIR\n");
        return 2;
    }
    const Module module(std::string(argv[0]) + "/product_sm90.fatbin");
    cublasLtHandle_t handle;
    CHECK(cublasLtCreate(&handle));
    const int shapes[][2] = {{21504, 3072}, {9216, 3072}, {12288, 3072}, {3072, 12288}, {3072, 15360}, {3072, 3072}};
    if (argc > 1) {
        for (auto [n, k] : shapes) try_layer(module, handle, {std::atoi(argv[1]), n, k}, 1, argc > 2 ? std::atoi(argv[2]) : 16, true);
        return 0;
    }
    // Odd sizes: rows that fill no tile, columns that do not, inner that ends within a stage, many ranks.
    for (Layer s : {Layer{1, 256, 128}, Layer{200, 264, 144}, Layer{333, 1000, 656}, Layer{1000, 3072, 3072}})
        for (int ranks : {0, 8, 16, 24, 64, 128}) try_layer(module, handle, s, 1, ranks, false);
    try_layer(module, handle, {700, 1536, 512}, 4, 16, false);
    try_layer(module, handle, {700, 1536, 512}, 3, 40, false);
    for (int m : {4608, 4096, 2816, 2304, 1536, 1024, 512})
        for (auto [n, k] : shapes) try_layer(module, handle, {m, n, k}, 1, 16, true);
    for (int ranks : {0, 16, 64}) try_layer(module, handle, {4608, 21504, 3072}, 1, ranks, true);
    return 0;
}
