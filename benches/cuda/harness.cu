// Shared parts of the programs declared in harness.h, and `main`, which picks one by its first argument.
#include "harness.h"

#include <cstring>

namespace {

__device__ uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

__device__ float normal(uint64_t seed, size_t index) {
    const uint64_t bits = mix(mix(seed) ^ index);
    const float u = (static_cast<uint32_t>(bits) + 1.f) * 2.3283064e-10f;
    const float v = static_cast<uint32_t>(bits >> 32) * 2.3283064e-10f;
    return sqrtf(-2.f * logf(fminf(u, 1.f))) * cospif(2.f * v);
}

template <class T>
__global__ void fill_kernel(T* data, size_t count, uint64_t seed, float scale, float offset) {
    for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < count; i += size_t{gridDim.x} * blockDim.x)
        data[i] = T(normal(seed, i) * scale + offset);
}

template <class T>
void fill(T* data, size_t count, uint64_t seed, float scale, float offset) {
    fill_kernel<<<2048, 256>>>(data, count, seed, scale, offset);
    CHECK(cudaGetLastError());
}

template <class T>
__global__ void error_kernel(const T* out, const float* reference, size_t rows, size_t width, size_t every,
                             double* sums) {
    double difference = 0, norm = 0;
    const size_t count = (rows + every - 1) / every * width;
    for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < count; i += size_t{gridDim.x} * blockDim.x) {
        const size_t at = i / width * every * width + i % width;
        const double r = reference[at], d = static_cast<double>(static_cast<float>(out[at])) - r;
        difference += d * d;
        norm += r * r;
    }
    atomicAdd(sums, difference);
    atomicAdd(sums + 1, norm);
}

template <class T>
double error(const T* out, const float* reference, size_t rows, size_t width, size_t every) {
    Buffer<double> sums(2);
    sums.zero();
    error_kernel<<<1024, 256>>>(out, reference, rows, width, every, sums.data);
    CHECK(cudaGetLastError());
    auto host = sums.host();
    return std::sqrt(host[0] / host[1]);
}

__global__ void nan_kernel(const bf16* data, size_t count, int* found) {
    for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < count; i += size_t{gridDim.x} * blockDim.x)
        if (isnan(static_cast<float>(data[i]))) *found = 1;
}

__global__ void compare_kernel(const uint8_t* a, const uint8_t* b, size_t bytes, int* different) {
    for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < bytes; i += size_t{gridDim.x} * blockDim.x)
        if (a[i] != b[i]) *different = 1;
}

}  // namespace

void fill_normal(bf16* data, size_t count, uint64_t seed, float scale, float offset) {
    fill(data, count, seed, scale, offset);
}
void fill_normal(float* data, size_t count, uint64_t seed, float scale, float offset) {
    fill(data, count, seed, scale, offset);
}
void fill_normal(fp8* data, size_t count, uint64_t seed, float scale) { fill(data, count, seed, scale, 0.f); }

double relative_error(const bf16* out, const float* reference, size_t rows, size_t width, size_t every) {
    return error(out, reference, rows, width, every);
}
double relative_error(const float* out, const float* reference, size_t count) {
    return error(out, reference, 1, count, 1);
}

bool any_nan(const bf16* data, size_t count) {
    Buffer<int> found(1);
    found.zero();
    nan_kernel<<<1024, 256>>>(data, count, found.data);
    CHECK(cudaGetLastError());
    return found.host()[0] != 0;
}

bool same_bytes(const void* a, const void* b, size_t bytes) {
    Buffer<int> different(1);
    different.zero();
    compare_kernel<<<1024, 256>>>(static_cast<const uint8_t*>(a), static_cast<const uint8_t*>(b), bytes,
                                  different.data);
    CHECK(cudaGetLastError());
    return different.host()[0] == 0;
}

Module::Module(const std::string& path) {
    CHECK(cudaFree(nullptr));  // the runtime's context, which the driver interface then shares
    CHECK(cuModuleLoad(&module, path.c_str()));
}

CUfunction Module::function(const char* name, int shared_bytes) const {
    CUfunction function;
    CUresult status = cuModuleGetFunction(&function, module, name);
    if (status != CUDA_SUCCESS) {
        std::fprintf(stderr, "no kernel %s: status %d\n", name, static_cast<int>(status));
        std::exit(1);
    }
    if (shared_bytes > 48 * 1024)
        CHECK(cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared_bytes));
    return function;
}

void launch(CUfunction function, dim3 grid, dim3 block, int shared_bytes, std::vector<void*> arguments,
            cudaStream_t stream) {
    CHECK(cuLaunchKernel(function, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared_bytes, stream,
                         arguments.data(), nullptr));
}

double time_ms(const std::function<void(int)>& call, int calls, int rounds, cudaStream_t stream) {
    cudaEvent_t start, stop;
    CHECK(cudaEventCreate(&start));
    CHECK(cudaEventCreate(&stop));
    int number = 0;
    for (int i = 0; i < calls; ++i) call(number++);
    std::vector<float> times;
    for (int round = 0; round < rounds; ++round) {
        CHECK(cudaEventRecord(start, stream));
        for (int i = 0; i < calls; ++i) call(number++);
        CHECK(cudaEventRecord(stop, stream));
        CHECK(cudaEventSynchronize(stop));
        float ms;
        CHECK(cudaEventElapsedTime(&ms, start, stop));
        times.push_back(ms / calls);
    }
    CHECK(cudaGetLastError());
    std::sort(times.begin(), times.end());
    CHECK(cudaEventDestroy(start));
    CHECK(cudaEventDestroy(stop));
    return times[times.size() / 2];
}

CUtensorMap attention_map(const bf16* data, int length, int head_dim, int heads, int batch, int64_t row_stride,
                          int64_t head_stride, int64_t batch_stride, int box_rows, int box_panels) {
    CUtensorMap map;
    const cuuint64_t sizes[5] = {64, cuuint64_t(length), cuuint64_t(head_dim / 64), cuuint64_t(heads),
                                 cuuint64_t(batch)};
    const cuuint64_t strides[4] = {cuuint64_t(row_stride) * 2, 128, cuuint64_t(head_stride) * 2,
                                   cuuint64_t(batch_stride) * 2};
    const cuuint32_t box[5] = {64, cuuint32_t(box_rows), cuuint32_t(box_panels), 1, 1};
    const cuuint32_t steps[5] = {1, 1, 1, 1, 1};
    CHECK(cuTensorMapEncodeTiled(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 5, const_cast<bf16*>(data), sizes, strides,
                                 box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
    return map;
}

int multiprocessors() {
    int device, count;
    CHECK(cudaGetDevice(&device));
    CHECK(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device));
    return count;
}

int main(int argc, char** argv) {
    const std::string program = argc > 1 ? argv[1] : "";
    if (program == "attention") return attention_main(argc - 2, argv + 2);
    if (program == "elementwise") return elementwise_main(argc - 2, argv + 2);
    if (program == "gemm") return gemm_main(argc - 2, argv + 2);
    if (program == "step") return step_main(argc - 2, argv + 2);
    if (program == "vae") return vae_main(argc - 2, argv + 2);
    if (program == "text") return text_main(argc - 2, argv + 2);
    if (program == "product") return product_main(argc - 2, argv + 2);
    std::fprintf(stderr, "usage: harness attention|elementwise|gemm|product|step|vae|text ...\n");
    return 2;
}
