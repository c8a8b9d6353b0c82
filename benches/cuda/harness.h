// What the test and timing programs share: checked calls, poisoned buffers, random data, error norms,
// kernels from a module file, times by events.
#pragma once
#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

using bf16 = __nv_bfloat16;
using fp8 = __nv_fp8_e4m3;

#define CHECK(call)                                                                                               \
    do {                                                                                                          \
        auto status_ = (call);                                                                                    \
        if (static_cast<int>(status_) != 0) {                                                                     \
            std::fprintf(stderr, "%s:%d: %s: status %d\n", __FILE__, __LINE__, #call, static_cast<int>(status_)); \
            std::exit(1);                                                                                         \
        }                                                                                                         \
    } while (0)

// A device array. Fresh ones hold 0xff bytes: NaN in bf16, fp32 and e4m3, so that whatever is not written shows.
template <class T>
struct Buffer {
    T* data = nullptr;
    size_t count = 0;
    explicit Buffer(size_t n) : count(n) {
        CHECK(cudaMalloc(&data, std::max<size_t>(n, 1) * sizeof(T)));
        poison();
    }
    Buffer(const Buffer&) = delete;
    Buffer(Buffer&& other) : data(other.data), count(other.count) { other.data = nullptr; }
    ~Buffer() { cudaFree(data); }
    void poison() { CHECK(cudaMemset(data, 0xff, count * sizeof(T))); }
    void zero() { CHECK(cudaMemset(data, 0, count * sizeof(T))); }
    std::vector<T> host() const {
        std::vector<T> out(count);
        CHECK(cudaMemcpy(out.data(), data, count * sizeof(T), cudaMemcpyDeviceToHost));
        return out;
    }
};

// Normal random numbers times `scale`, a different stream for each seed.
void fill_normal(bf16* data, size_t count, uint64_t seed, float scale = 1.f, float offset = 0.f);
void fill_normal(float* data, size_t count, uint64_t seed, float scale = 1.f, float offset = 0.f);
void fill_normal(fp8* data, size_t count, uint64_t seed, float scale = 1.f);

// norm(out - reference) / norm(reference) over rows first, first + every, ...; NaN if any looked-at element is.
double relative_error(const bf16* out, const float* reference, size_t rows, size_t width, size_t every = 1);
double relative_error(const float* out, const float* reference, size_t count);
bool any_nan(const bf16* data, size_t count);
bool same_bytes(const void* a, const void* b, size_t bytes);

struct Module {
    CUmodule module;
    explicit Module(const std::string& path);
    CUfunction function(const char* name, int shared_bytes = 0) const;
};

void launch(CUfunction function, dim3 grid, dim3 block, int shared_bytes, std::vector<void*> arguments,
            cudaStream_t stream = nullptr);

// Median milliseconds of one call: `rounds` rounds of `calls` calls between two events; call(i) gets a running number,
// to rotate buffers by.
double time_ms(const std::function<void(int)>& call, int calls = 10, int rounds = 9, cudaStream_t stream = nullptr);

// A tensor map as attention_sm90.cu wants it: (64, length, head_dim/64, heads, batch), strides in elements.
CUtensorMap attention_map(const bf16* data, int length, int head_dim, int heads, int batch, int64_t row_stride,
                          int64_t head_stride, int64_t batch_stride, int box_rows, int box_panels);

int multiprocessors();

// How elementwise.cu's row kernels are launched: threads of a row (x) and rows of a block (y).
constexpr int kRowChunks = 3, kLongRowChunks = 6;  // its kChunks and kLongChunks
inline dim3 row_block(int width, int chunks = kRowChunks) {
    const int threads = (width / 8 + chunks * 32 - 1) / (chunks * 32) * 32;
    return dim3(threads, threads == 32 ? 4 : 1);
}

// The programs.
int attention_main(int argc, char** argv);
int elementwise_main(int argc, char** argv);
int gemm_main(int argc, char** argv);
int product_main(int argc, char** argv);
int step_main(int argc, char** argv);
int vae_main(int argc, char** argv);
int text_main(int argc, char** argv);
