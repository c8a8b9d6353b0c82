// The VAE's kernels: how they are launched, and checks of each against plain kernels on fresh random input.
//   harness vae DIR check|check-small|time        DIR holds conv_sm80, conv_sm90 and vae.fatbin
#include "vae.h"

#include <cstring>
#include <type_traits>

VaeKernels::VaeKernels(const std::string& directory)
    : conv80(directory + "/conv_sm80.fatbin"), vae(directory + "/vae.fatbin"), cards(multiprocessors()) {
    int device, major;
    CHECK(cudaGetDevice(&device));
    CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
    if (major == 9) conv90 = std::make_unique<Module>(directory + "/conv_sm90.fatbin");
}

namespace {

int ceil_div(long long a, long long b) { return int((a + b - 1) / b); }

// Tiles of conv_sm90.cu, `rows` pixels high.
int hopper_tiles(const ConvShape& s, int rows) {
    return ceil_div(s.width, 16) * ceil_div(s.height, rows) * ceil_div(s.out, 128) * (s.doubled ? 4 : 1);
}

}  // namespace

std::vector<std::string> VaeKernels::convs(const ConvShape& s) const {
    std::vector<std::string> names;
    const auto add = [&](const std::string& name, bool first) {
        names.insert(first ? names.begin() : names.end(), name);
    };
    const int phases = s.doubled ? 4 : 1;
    const auto blocks = [&](int rows, int columns) {
        return ceil_div(s.pixels(), rows) * ceil_div(s.out, columns) * phases;
    };
    add("conv_sm80_128x128", false);
    add("conv_sm80_128x64", blocks(128, 128) < cards || s.out % 128 && s.out % 128 <= 64);
    add("conv_sm80_64x32", blocks(128, 64) < cards || s.out <= 32);
    if (conv90) {
        const std::string base = s.doubled ? "conv_sm90_doubled_" : "conv_sm90_";
        const bool worth = s.in > 32 && s.out > 64;
        // A tile of 128 pixels takes somewhat over half of one of 256.
        const double large = 2. * ceil_div(hopper_tiles(s, 16), cards);
        const double small = 1.15 * ceil_div(hopper_tiles(s, 8), cards);
        add(base + (small < large ? "256" : "128"), worth);
        add(base + (small < large ? "128" : "256"), worth);
    }
    return names;
}

namespace {

CUtensorMap tensor_map(const bf16* data, std::vector<cuuint64_t> sizes, std::vector<cuuint32_t> box) {
    CUtensorMap map;
    const cuuint64_t strides[2] = {sizes[0] * 2, sizes[0] * sizes[1] * 2};
    const cuuint32_t steps[3] = {1, 1, 1};
    CHECK(cuTensorMapEncodeTiled(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, const_cast<bf16*>(data), sizes.data(),
                                 strides, box.data(), steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
    return map;
}

}  // namespace

Conv::Conv(const VaeKernels& kernels, const std::string& name, const ConvShape& s, const bf16* x, const bf16* weight,
           const float* bias, const bf16* residual, bf16* out)
    : name(name), shape(s), x(x), weight(weight), residual(residual), bias(bias), out(out), doubled(s.doubled) {
    tensor_maps = name.find("sm90") != std::string::npos;
    if (tensor_maps) {
        const int rows = name.find("256") != std::string::npos ? 16 : 8, side = s.doubled ? 2 : 3;
        shared_bytes = 1280 + 3 * (rows + side - 1) * 2048 + 6 * 16384;
        threads = 384;
        grid = dim3(std::min(kernels.cards, hopper_tiles(s, rows)));
        x_map = tensor_map(x, {cuuint64_t(s.in), cuuint64_t(s.width), cuuint64_t(s.height)},
                           {64, 16, cuuint32_t(rows + side - 1)});
        weight_map = tensor_map(
            weight, {cuuint64_t(s.in), cuuint64_t(side * side), cuuint64_t(s.doubled ? 4 : 1) * s.out}, {64, 1, 128});
        function = kernels.conv90->function(name.c_str(), shared_bytes);
        return;
    }
    int rows, columns;
    if (std::sscanf(name.c_str(), "conv_sm80_%dx%d", &rows, &columns) != 2) std::exit(2);
    shared_bytes = 3 * (rows + columns) * 64;
    threads = 128;
    grid = dim3(ceil_div(s.pixels(), rows) * ceil_div(s.out, columns), 1, s.doubled ? 4 : 1);
    function = kernels.conv80.function(name.c_str(), shared_bytes);
}

void Conv::run(cudaStream_t stream) {
    ConvShape& s = shape;
    if (tensor_maps)
        launch(function, grid, threads, shared_bytes,
               {&x_map, &weight_map, &bias, &residual, &out, &s.height, &s.width, &s.in, &s.out}, stream);
    else
        launch(function, grid, threads, shared_bytes,
               {&x, &weight, &bias, &residual, &out, &s.height, &s.width, &s.in, &s.out, &doubled}, stream);
}

void Norm::run(const bf16* x, bf16* out, cudaStream_t stream) const {
    // Whole pixels of a block's threads, and enough of them to have some thousand blocks at most.
    int octets = channels / 8, lanes = std::max(1, 256 / octets),
        threads = std::max(64, (octets * lanes + 31) / 32 * 32);
    int run = std::max(ceil_div(pixels, kNormRuns), lanes * 8), runs = ceil_div(pixels, run);
    int apply_run = lanes * 8;
    int p = pixels, c = channels;
    float epsilon = 1e-6f;
    float *partials = this->partials, *affine = this->affine;
    const float *weight = this->weight, *bias = this->bias;
    launch(kernels.vae.function("group_norm_sums"), runs, threads, threads * 64, {&x, &partials, &p, &c, &run}, stream);
    launch(kernels.vae.function("group_norm_affine"), 32, 512, 0,
           {&partials, &runs, &weight, &bias, &affine, &p, &c, &epsilon}, stream);
    launch(kernels.vae.function(silu ? "group_norm_silu" : "group_norm_apply"), ceil_div(p, apply_run), threads, 0,
           {&x, &affine, &out, &p, &c, &apply_run}, stream);
}

namespace {

// ---- references: plain, a thread a value ----

// Only the output pixels 0, every, 2 * every, ...
__global__ void conv_reference(const bf16* x, const bf16* weight, const float* bias, const bf16* residual, float* out,
                               int height, int width, int in, int channels, int factor, size_t every) {
    const size_t at = blockIdx.x * size_t{blockDim.x} + threadIdx.x;
    const size_t pixel = at / channels * every;
    const int o = at % channels, rows = height * factor, columns = width * factor;
    if (pixel >= size_t(rows) * columns) return;
    const int y = pixel / columns, x0 = pixel % columns;
    double sum = bias[o] + (residual ? float(residual[pixel * channels + o]) : 0.f);
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) {
            const int ty = y + i - 1, tx = x0 + j - 1;
            if (ty < 0 || ty >= rows || tx < 0 || tx >= columns) continue;
            const bf16* from = x + (size_t(ty / factor) * width + tx / factor) * in;
            float part = 0;
            for (int c = 0; c < in; ++c) part += float(from[c]) * float(weight[(size_t(o) * in + c) * 9 + i * 3 + j]);
            sum += part;
        }
    out[pixel * channels + o] = float(sum);
}

// A block a group.
__global__ void norm_reference(const bf16* x, const float* weight, const float* bias, float* out, int pixels,
                               int channels, bool silu) {
    __shared__ double sums[2];
    const int each = channels / 32, group = blockIdx.x;
    const size_t count = size_t(pixels) * each;
    const auto index = [&](size_t i) { return i / each * channels + group * each + i % each; };
    for (int pass = 0; pass < 2; ++pass) {
        if (threadIdx.x == 0) sums[pass] = 0;
        __syncthreads();
        const double mean = pass ? sums[0] / count : 0;
        double sum = 0;
        for (size_t i = threadIdx.x; i < count; i += blockDim.x) {
            const double v = double(float(x[index(i)])) - mean;
            sum += pass ? v * v : v;
        }
        atomicAdd(&sums[pass], sum);
        __syncthreads();
    }
    const double mean = sums[0] / count, factor = 1 / sqrt(sums[1] / count + 1e-6);
    for (size_t i = threadIdx.x; i < count; i += blockDim.x) {
        const int c = group * each + i % each;
        const double v = (double(float(x[index(i)])) - mean) * factor * weight[c] + bias[c];
        out[index(i)] = float(silu ? v / (1 + exp(-v)) : v);
    }
}

// A block a row.
template <class T>
__global__ void softmax_reference(const T* scores, long long stride, float* out, int n, double scale) {
    __shared__ double total;
    if (threadIdx.x == 0) total = 0;
    __syncthreads();
    scores += blockIdx.x * stride;
    double sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += exp(scale * double(float(scores[i])));
    atomicAdd(&total, sum);
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        out[size_t(blockIdx.x) * n + i] = float(exp(scale * double(float(scores[i]))) / total);
}

int failures = 0;

void report(const std::string& what, double error, bool good, double limit = 1e-2) {
    good = good && error < limit;
    failures += !good;
    if (!good) std::printf("FAIL %s: error %.2e\n", what.c_str(), error);
}

constexpr size_t kGuard = 4096;  // values behind an output that nobody may write

template <class T>
bool guard_untouched(const Buffer<T>& out) {
    const auto host = out.host();
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(host.data() + out.count - kGuard);
    for (size_t i = 0; i < kGuard * sizeof(T); ++i)
        if (bytes[i] != 0xff) return false;
    return true;
}

std::string describe(const std::string& name, const ConvShape& s) {
    char text[160];
    std::snprintf(text, sizeof text, "%s %dx%d %d -> %d%s%s", name.c_str(), s.height, s.width, s.in, s.out,
                  s.doubled ? " doubled" : "", s.residual ? " residual" : "");
    return text;
}

__global__ void widen(const bf16* from, float* to, size_t count) {
    const size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x;
    if (i < count) to[i] = float(from[i]);
}

void pack(const VaeKernels& k, const Buffer<bf16>& weight, Buffer<bf16>& packed, ConvShape s) {
    Buffer<float> wide(weight.count);
    widen<<<ceil_div(weight.count, 256), 256>>>(weight.data, wide.data, weight.count);
    launch(k.vae.function(s.doubled ? "pack_doubled" : "pack_conv"), ceil_div(packed.count, 256), 256, 0,
           {&wide.data, &packed.data, &s.out, &s.in});
    CHECK(cudaDeviceSynchronize());
}

double check_conv(const VaeKernels& k, const ConvShape& s, uint64_t seed) {
    Buffer<bf16> x(size_t(s.pixels()) * s.in), weight(size_t(s.out) * s.in * 9);
    Buffer<bf16> packed(size_t(s.out) * s.in * (s.doubled ? 16 : 9)), residual(s.outputs());
    Buffer<float> bias(s.out), expected(s.outputs());
    fill_normal(x.data, x.count, seed);
    fill_normal(weight.data, weight.count, seed + 1, 1.f / std::sqrt(9.f * s.in));
    fill_normal(bias.data, bias.count, seed + 2);
    fill_normal(residual.data, residual.count, seed + 3);
    pack(k, weight, packed, s);
    const size_t rows = s.outputs() / s.out, every = std::max<size_t>(1, rows / 5000 | 1);
    conv_reference<<<ceil_div((rows + every - 1) / every * s.out, 128), 128>>>(
        x.data, weight.data, bias.data, s.residual ? residual.data : nullptr, expected.data, s.height, s.width, s.in,
        s.out, s.scale(), every);
    CHECK(cudaGetLastError());
    double worst = 0;
    for (const std::string& name : k.convs(s)) {
        Buffer<bf16> out(s.outputs() + kGuard), again(s.outputs() + kGuard);
        const bf16* added = s.residual ? residual.data : nullptr;
        Conv(k, name, s, x.data, packed.data, bias.data, added, out.data).run();
        Conv(k, name, s, x.data, packed.data, bias.data, added, again.data).run();
        CHECK(cudaDeviceSynchronize());
        const double e = relative_error(out.data, expected.data, rows, s.out, every);
        const bool good =
            !any_nan(out.data, s.outputs()) && same_bytes(out.data, again.data, out.count * 2) && guard_untouched(out);
        report(describe(name, s), e, good);
        worst = std::max(worst, std::isnan(e) ? 1e9 : e);
        if (s.residual) {  // in place
            CHECK(cudaMemcpy(again.data, residual.data, s.outputs() * 2, cudaMemcpyDeviceToDevice));
            Conv(k, name, s, x.data, packed.data, bias.data, again.data, again.data).run();
            CHECK(cudaDeviceSynchronize());
            report(describe(name, s) + " in place", 0, same_bytes(out.data, again.data, s.outputs() * 2));
        }
    }
    return worst;
}

double check_narrow(const VaeKernels& k, ConvShape s, uint64_t seed) {
    Buffer<bf16> x(size_t(s.pixels()) * s.in), weight(size_t(s.out) * s.in * 9), packed(weight.count);
    Buffer<float> bias(s.out), expected(s.outputs()), out(s.outputs() + kGuard);
    fill_normal(x.data, x.count, seed);
    fill_normal(weight.data, weight.count, seed + 1, 1.f / std::sqrt(9.f * s.in));
    fill_normal(bias.data, bias.count, seed + 2);
    pack(k, weight, packed, s);
    conv_reference<<<ceil_div(s.outputs(), 128), 128>>>(x.data, weight.data, bias.data, nullptr, expected.data,
                                                        s.height, s.width, s.in, s.out, 1, 1);
    launch(k.conv80.function("conv_sm80_narrow"), dim3(ceil_div(s.width, 16), ceil_div(s.height, 16)), 256, 0,
           {&x.data, &packed.data, &bias.data, &out.data, &s.height, &s.width, &s.in, &s.out});
    CHECK(cudaDeviceSynchronize());
    const double e = relative_error(out.data, expected.data, s.outputs());
    report(describe("conv_sm80_narrow", s), e, guard_untouched(out), 1e-4);
    return e;
}

double check_norm(const VaeKernels& k, int pixels, int channels, bool silu, uint64_t seed) {
    const size_t count = size_t(pixels) * channels;
    Buffer<bf16> x(count), out(count + kGuard), again(count);
    Buffer<float> weight(channels), bias(channels), expected(count), partials(kNormPartials), affine(2 * channels);
    fill_normal(x.data, count, seed, 2.f, 3.f);
    fill_normal(weight.data, channels, seed + 1);
    fill_normal(bias.data, channels, seed + 2);
    norm_reference<<<32, 1024>>>(x.data, weight.data, bias.data, expected.data, pixels, channels, silu);
    const Norm norm{k, pixels, channels, weight.data, bias.data, silu, partials.data, affine.data};
    norm.run(x.data, out.data);
    CHECK(cudaMemcpy(again.data, x.data, count * 2, cudaMemcpyDeviceToDevice));
    partials.poison();
    norm.run(again.data, again.data);  // in place
    CHECK(cudaDeviceSynchronize());
    const double e = relative_error(out.data, expected.data, pixels, channels);
    report("group_norm " + std::to_string(pixels) + " x " + std::to_string(channels), e,
           same_bytes(out.data, again.data, count * 2) && guard_untouched(out));
    return e;
}

template <class T>
double check_softmax(const VaeKernels& k, const char* name, int rows, int n, uint64_t seed) {
    long long stride = n + 8, out_stride = n;
    Buffer<T> scores(size_t(rows) * stride);
    Buffer<bf16> out(size_t(rows) * n + kGuard);
    Buffer<float> expected(size_t(rows) * n);
    fill_normal(scores.data, scores.count, seed, 3.f);
    softmax_reference<<<rows, 256>>>(scores.data, stride, expected.data, n, 0.7);
    float scale = 0.7f * 1.44269504f;
    launch(k.vae.function(name), rows, std::min(1024, ceil_div(n, 512) * 32), 0,
           {&scores.data, &stride, &out.data, &out_stride, &n, &scale});
    CHECK(cudaDeviceSynchronize());
    const double e = relative_error(out.data, expected.data, rows, n);
    report(std::string(name) + " " + std::to_string(n), e, guard_untouched(out));
    if constexpr (std::is_same<T, bf16>::value) {  // in place
        launch(k.vae.function(name), rows, std::min(1024, ceil_div(n, 512) * 32), 0,
               {&scores.data, &stride, &scores.data, &stride, &n, &scale});
        Buffer<bf16> dense(size_t(rows) * n);
        CHECK(cudaMemcpy2D(dense.data, n * 2, scores.data, stride * 2, n * 2, rows, cudaMemcpyDeviceToDevice));
        report(std::string(name) + " in place", 0, same_bytes(dense.data, out.data, dense.count * 2));
    }
    return e;
}

template <class T>
void check_latent(const VaeKernels& k, const char* name) {
    int rows = 9, columns = 11, top = 3, left = 5, height = 12, width = 14;
    float factor = 2.77f, shift = 0.1159f;
    Buffer<T> tokens(size_t(rows) * columns * 64);
    fill_normal(tokens.data, tokens.count, 5);
    Buffer<bf16> out(size_t(height) * width * 16 + kGuard);
    launch(k.vae.function(name), ceil_div(height * width, 128), 128, 0,
           {&tokens.data, &columns, &top, &left, &height, &width, &factor, &shift, &out.data});
    const auto from = tokens.host();
    const auto got = out.host();
    double worst = 0;
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            for (int c = 0; c < 16; ++c) {
                const int ty = y + top, tx = x + left;
                const size_t at = (size_t(ty / 2) * columns + tx / 2) * 64 + c * 4 + ty % 2 * 2 + tx % 2;
                const float v = float(from[at]) * factor + shift;
                worst =
                    std::max<double>(worst, std::fabs(float(got[(y * width + x) * 16 + c]) - v) / (1 + std::fabs(v)));
            }
    report(name, worst, guard_untouched(out), 5e-3);
}

void check_rgb(const VaeKernels& k) {
    int count = 4 * 12345;
    Buffer<float> x(count);
    fill_normal(x.data, count, 6);
    Buffer<uint8_t> out(count + kGuard);
    Buffer<int> flag(1);
    auto from = x.host();
    for (float bad : {0.f, NAN, INFINITY, -INFINITY}) {
        if (bad != 0) from[count / 2 + 1] = bad;
        CHECK(cudaMemcpy(x.data, from.data(), count * 4, cudaMemcpyHostToDevice));
        flag.zero();
        launch(k.vae.function("to_rgb8"), ceil_div(count / 4, 256), 256, 0, {&x.data, &out.data, &flag.data, &count});
        const auto got = out.host();
        int wrong = 0;
        for (int i = 0; i < count; ++i) {
            const float unit = std::fmin(std::fmax(from[i] * 0.5f + 0.5f, 0.f), 1.f);
            wrong += std::abs(got[i] - int(std::round(unit * 255))) > 1;  // a tie may fall either way
        }
        report("to_rgb8", wrong, flag.host()[0] == (bad != 0) && guard_untouched(out));
    }
}

}  // namespace

int check_vae(const VaeKernels& k, bool small) {
    std::vector<ConvShape> shapes = {
        {5, 7, 16, 8},         {1, 1, 8, 40, false, true}, {9, 13, 32, 136, false, true}, {17, 35, 136, 96},
        {16, 9, 72, 96, true}, {1, 3, 40, 8, true, true},  {33, 18, 64, 136, true, true}};
    if (!small)
        for (const ConvShape& s : {ConvShape{64, 64, 512, 512, false, true},
                                   {128, 128, 512, 512},
                                   {128, 96, 512, 256},
                                   {128, 128, 256, 256, true},
                                   {300, 211, 128, 128, false, true},
                                   {1024, 1024, 128, 128, false, true},
                                   {512, 512, 256, 256, true}})
            shapes.push_back(s);
    double worst = 0;
    uint64_t seed = 10;
    for (const ConvShape& s : shapes) worst = std::max(worst, check_conv(k, s, seed += 10));
    std::printf("check conv              worst relative error %.2e\n", worst);
    worst = 0;
    for (const ConvShape& s : {ConvShape{1, 1, 8, 3}, {17, 35, 72, 3}, {16, 16, 32, 8}, {133, 65, 128, 3}})
        worst = std::max(worst, check_narrow(k, s, seed += 10));
    std::printf("check conv narrow       worst relative error %.2e\n", worst);
    worst = 0;
    for (int channels : {32, 64, 96, 128, 256, 512})
        for (int pixels : {1, 77, 4096, small ? 1000 : 250007})
            worst = std::max(worst, check_norm(k, pixels, channels, pixels % 2, seed += 10));
    std::printf("check group_norm        worst relative error %.2e\n", worst);
    worst = 0;
    for (int n : {4, 60, 1000, 4096, 16384, small ? 20000 : 65536}) {
        worst = std::max(worst, check_softmax<float>(k, "softmax_rows_f32", 5, n, seed += 10));
        worst = std::max(worst, check_softmax<bf16>(k, "softmax_rows_bf16", 5, n, seed += 10));
    }
    std::printf("check softmax_rows      worst relative error %.2e\n", worst);
    check_latent<float>(k, "latent_to_vae_f32");
    check_latent<bf16>(k, "latent_to_vae_bf16");
    check_rgb(k);
    std::printf("%s\n", failures ? "vae: FAILED" : "vae: all checks passed");
    return failures;
}

int vae_main(int argc, char** argv) {
    if (argc < 2) return 2;
    const VaeKernels kernels(argv[0]);
    if (!std::strcmp(argv[1], "time")) {
        for (int side : {512, 1024}) time_vae(kernels, side);
        return 0;
    }
    return check_vae(kernels, !std::strcmp(argv[1], "check-small")) != 0;
}
