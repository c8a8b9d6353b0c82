// One linear layer through cublasLt: out[M, N] = x[M, K] * weight[N, K]^T (+ bias), bf16 out.
#pragma once
#include <cublasLt.h>

#include <memory>

#include "harness.h"

enum class Precision { bf16, fp8_tensor, fp8_rows };  // one fp8 scale a tensor, or one a row of x and of weight

struct LinearShape {
    int m, n, k;
    Precision precision;
    bool bias, fast;
};

struct Linear {
    LinearShape shape;
    cublasLtMatmulDesc_t description = nullptr;
    cublasLtMatrixLayout_t weight_layout, x_layout, out_layout;
    std::vector<cublasLtMatmulHeuristicResult_t> candidates;  // best guess first
    int chosen = 0;
    int status = 0;  // of the heuristic

    Linear(cublasLtHandle_t handle, const LinearShape& shape, long long out_stride, int wanted = 8);
    // Status of the launch.
    int run(cublasLtHandle_t handle, const void* x, const float* x_scale, const void* weight, const float* weight_scale,
            const bf16* bias, bf16* out, void* workspace, cudaStream_t stream);
    // Chooses the candidate under which call(i), a `run`, is fastest; it returns that status.
    void choose(const std::function<int(int)>& call, cudaStream_t stream);
};

constexpr size_t kLinearWorkspace = 64 << 20;
