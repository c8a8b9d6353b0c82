// What cublasLt gives for FLUX.1's linear layers: bf16, fp8 with one scale a tensor, fp8 with one scale a row on both
// sides (outer vectors); with and without bias and fast accumulation; the best of its first eight algorithms.
//   harness gemm
#include "linear.h"

namespace {

template <class T>
void set(cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t attribute, T value) {
    CHECK(cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof(value)));
}

}  // namespace

// cublasLt counts in columns: its A is the weight, transposed, its B is x and its D is out, whose bias runs along N.
Linear::Linear(cublasLtHandle_t handle, const LinearShape& s, long long out_stride, int wanted) : shape(s) {
    const bool fp8 = s.precision != Precision::bf16;
    const cudaDataType_t type = fp8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
    CHECK(cublasLtMatmulDescCreate(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    set(description, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    set(description, CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
    if (fp8) {
        set(description, CUBLASLT_MATMUL_DESC_FAST_ACCUM, int8_t(s.fast));
        const auto mode = s.precision == Precision::fp8_rows ? CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F
                                                             : CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
        set(description, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, mode);
        set(description, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, mode);
        const void* placeholder = handle;  // the heuristic wants to see that the pointers will be there
        set(description, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, placeholder);
        set(description, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, placeholder);
    }
    if (s.bias) {
        set(description, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
        set(description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_16BF);
        const void* placeholder = handle;
        set(description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, placeholder);
    }
    CHECK(cublasLtMatrixLayoutCreate(&weight_layout, type, s.k, s.n, s.k));
    CHECK(cublasLtMatrixLayoutCreate(&x_layout, type, s.k, s.m, s.k));
    CHECK(cublasLtMatrixLayoutCreate(&out_layout, CUDA_R_16BF, s.n, s.m, out_stride));
    cublasLtMatmulPreference_t preference;
    CHECK(cublasLtMatmulPreferenceCreate(&preference));
    const size_t workspace = kLinearWorkspace;
    CHECK(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                               sizeof(workspace)));
    candidates.resize(wanted);
    int found = 0;
    status = cublasLtMatmulAlgoGetHeuristic(handle, description, weight_layout, x_layout, out_layout, out_layout,
                                            preference, wanted, candidates.data(), &found);
    candidates.resize(status ? 0 : found);
    CHECK(cublasLtMatmulPreferenceDestroy(preference));
}

int Linear::run(cublasLtHandle_t handle, const void* x, const float* x_scale, const void* weight,
                const float* weight_scale, const bf16* bias, bf16* out, void* workspace, cudaStream_t stream) {
    if (shape.precision != Precision::bf16) {
        set(description, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, weight_scale);
        set(description, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, x_scale);
    }
    if (shape.bias) set(description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    const float one = 1, zero = 0;
    return cublasLtMatmul(handle, description, &one, weight, weight_layout, x, x_layout, &zero, out, out_layout, out,
                          out_layout, &candidates[chosen].algo, workspace, kLinearWorkspace, stream);
}

void Linear::choose(const std::function<int(int)>& call, cudaStream_t stream) {
    if (candidates.empty()) {
        std::fprintf(stderr, "no algorithm for %d %d %d: status %d\n", shape.m, shape.n, shape.k, status);
        std::exit(1);
    }
    double best = 1e9;
    int fastest = 0;
    for (size_t i = 0; i < candidates.size(); ++i) {
        chosen = int(i);
        if (call(0)) continue;
        const double ms = time_ms([&](int j) { call(j); }, 5, 5, stream);
        if (ms < best) best = ms, fastest = int(i);
    }
    chosen = fastest;
}

namespace {

template <class T>
__global__ void reference_kernel(const T* x, const float* x_scale, const T* w, const float* w_scale, int per_row,
                                 const bf16* bias, float* out, int rows, int n, int k, int every) {
    const int c = blockIdx.x * blockDim.x + threadIdx.x, r = blockIdx.y * every;
    if (c >= n) return;
    double sum = 0;
    for (int i = 0; i < k; ++i) sum += double(float(x[size_t(r) * k + i])) * double(float(w[size_t(c) * k + i]));
    if (x_scale) sum *= double(x_scale[per_row ? r : 0]) * double(w_scale[per_row ? c : 0]);
    out[size_t(r) * n + c] = float(sum + (bias ? double(float(bias[c])) : 0));
}

struct Operands {
    Buffer<uint8_t> x, weight;
    Buffer<float> x_scale, weight_scale;
    Buffer<bf16> bias, out;
    Buffer<uint8_t> workspace;
    Operands(int m, int n, int k)
        : x(size_t(m) * k * 2),
          weight(size_t(n) * k * 2),
          x_scale(m),
          weight_scale(n),
          bias(n),
          out(size_t(m) * n),
          workspace(kLinearWorkspace) {
        fill_normal(x_scale.data, m, 3, 0.1f, 1.f);
        fill_normal(weight_scale.data, n, 4, 0.01f, 0.1f);
        fill_normal(bias.data, n, 5, 10.f);
    }
    void fill(Precision p, int m, int n, int k) {
        if (p == Precision::bf16) {
            fill_normal(reinterpret_cast<bf16*>(x.data), size_t(m) * k, 1);
            fill_normal(reinterpret_cast<bf16*>(weight.data), size_t(n) * k, 2, 0.1f);
        } else {
            fill_normal(reinterpret_cast<fp8*>(x.data), size_t(m) * k, 1, 40.f);
            fill_normal(reinterpret_cast<fp8*>(weight.data), size_t(n) * k, 2, 40.f);
        }
    }
};

double error_of(const LinearShape& s, Operands& o) {
    constexpr int every = 97;
    Buffer<float> expected(size_t(s.m) * s.n);
    const dim3 grid((s.n + 127) / 128, (s.m + every - 1) / every);
    const bf16* bias = s.bias ? o.bias.data : nullptr;
    if (s.precision == Precision::bf16)
        reference_kernel<<<grid, 128>>>(reinterpret_cast<bf16*>(o.x.data), nullptr,
                                        reinterpret_cast<bf16*>(o.weight.data), nullptr, 0, bias, expected.data, s.m,
                                        s.n, s.k, every);
    else
        reference_kernel<<<grid, 128>>>(reinterpret_cast<fp8*>(o.x.data), o.x_scale.data,
                                        reinterpret_cast<fp8*>(o.weight.data), o.weight_scale.data,
                                        s.precision == Precision::fp8_rows, bias, expected.data, s.m, s.n, s.k, every);
    CHECK(cudaGetLastError());
    return relative_error(o.out.data, expected.data, s.m, s.n, every);
}

}  // namespace

int gemm_main(int, char**) {
    cublasLtHandle_t handle;
    CHECK(cublasLtCreate(&handle));
    std::printf("cublasLt %zu\n", cublasLtGetVersion());
    std::printf("%5s %6s %6s %-10s bias fast  found  first/best TFLOP/s  which  error\n", "M", "N", "K", "precision");
    const int shapes[][2] = {{9216, 3072}, {12288, 3072}, {3072, 12288}, {21504, 3072}, {3072, 15360}, {3072, 3072}};
    for (int m : {512, 1536, 2816, 4608}) {
        for (auto [n, k] : shapes) {
            Operands o(m, n, k);
            for (Precision p : {Precision::bf16, Precision::fp8_tensor, Precision::fp8_rows}) {
                o.fill(p, m, n, k);
                for (int variant = 0; variant < 4; ++variant) {
                    const LinearShape s{m, n, k, p, variant < 2, variant % 2 == 0};
                    // Every combination once; afterwards only what a FLUX layer would run.
                    if (p == Precision::bf16 ? variant != 0 : (variant != 0 && !(m == 1536 && n == 9216))) continue;
                    Linear linear(handle, s, n);
                    const char* name = p == Precision::bf16       ? "bf16"
                                       : p == Precision::fp8_rows ? "fp8 rows"
                                                                  : "fp8 tensor";
                    std::printf("%5d %6d %6d %-10s %4d %4d  ", m, n, k, name, s.bias, s.fast);
                    if (linear.candidates.empty()) {
                        std::printf("none: status %d\n", linear.status);
                        continue;
                    }
                    double first = 0, best = 0;
                    int which = 0, bad = 0;
                    for (size_t i = 0; i < linear.candidates.size(); ++i) {
                        linear.chosen = int(i);
                        auto call = [&](int) {
                            return linear.run(handle, o.x.data, o.x_scale.data, o.weight.data, o.weight_scale.data,
                                              o.bias.data, o.out.data, o.workspace.data, nullptr);
                        };
                        if (int status = call(0)) {
                            bad = status;
                            continue;
                        }
                        const double rate = 2.0 * m * n * k / time_ms([&](int j) { call(j); }, 10, 5) / 1e9;
                        if (i == 0) first = rate;
                        if (rate > best) best = rate, which = int(i);
                    }
                    o.out.poison();
                    linear.chosen = which;
                    if (best > 0)
                        linear.run(handle, o.x.data, o.x_scale.data, o.weight.data, o.weight_scale.data, o.bias.data,
                                   o.out.data, o.workspace.data, nullptr);
                    std::printf("%zu  %6.0f %6.0f  #%d  %.1e%s\n", linear.candidates.size(), first, best, which,
                                error_of(s, o), bad ? (" some launch status " + std::to_string(bad)).c_str() : "");
                    std::fflush(stdout);
                }
            }
        }
    }
    return 0;
}
