// The VAE's kernels as the test and timing programs call them.
#pragma once
#include <memory>

#include "harness.h"

struct ConvShape {
    int height, width, in, out;  // of the input
    bool doubled = false, residual = false;
    int scale() const { return doubled ? 2 : 1; }
    int pixels() const { return height * width; }
    size_t outputs() const { return size_t(pixels()) * scale() * scale() * out; }
    // What is computed: four 2x2 phases where doubled.
    double flop() const { return 2. * outputs() * in * (doubled ? 4 : 9); }
    // What the reference computes, which diffusers' times are for.
    double plain_flop() const { return 2. * outputs() * in * 9; }
};

struct VaeKernels {
    Module conv80, vae;
    std::unique_ptr<Module> conv90;  // on Hopper
    int cards;                       // multiprocessors
    explicit VaeKernels(const std::string& directory);
    // Names of the convolution kernels that this card and shape allow, the one to use first.
    std::vector<std::string> convs(const ConvShape& shape) const;
};

// One convolution, ready to be launched: weights as vae.cu packs them.
struct Conv {
    std::string name;
    ConvShape shape;
    Conv(const VaeKernels& kernels, const std::string& name, const ConvShape& shape, const bf16* x, const bf16* weight,
         const float* bias, const bf16* residual, bf16* out);
    void run(cudaStream_t stream = nullptr);

 private:
    CUfunction function;
    CUtensorMap x_map, weight_map;
    const bf16 *x, *weight, *residual;
    const float* bias;
    bf16* out;
    dim3 grid;
    int threads, shared_bytes, doubled;
    bool tensor_maps;
};

// Group norm in its three launches.
struct Norm {
    const VaeKernels& kernels;
    int pixels, channels;
    const float *weight, *bias;
    bool silu;
    float *partials, *affine;  // kNormPartials and 2 * channels floats
    void run(const bf16* x, bf16* out, cudaStream_t stream = nullptr) const;
};

constexpr int kNormRuns = 2048;
constexpr size_t kNormPartials = kNormRuns * 64;

int check_vae(const VaeKernels& kernels, bool small);
void time_vae(const VaeKernels& kernels, int side);
