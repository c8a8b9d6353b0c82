// conv_sm80.cu on the CPU.
#include "conv_sm80.cu"  // with its shared memory in host::arena: see run.sh
#include "reference.h"

namespace {

void check(const char* name, decltype(&conv_sm80_128x128) kernel, int rows, int columns, const ConvShape& s) {
    const int pixels = s.height * s.width, f = s.doubled ? 4 : 1;
    const auto x = random_halves(size_t(pixels) * s.in), weight = random_halves(size_t(s.out) * s.in * 9, 0.1f);
    const auto bias = random_floats(s.out), residual_floats = random_floats(0);
    const auto residual = random_halves(size_t(pixels) * f * s.out);
    const auto expected = plain_conv(s, x, weight, bias, residual);
    const auto taps = packed(s, weight);
    auto out = poisoned(expected.size());
    const int blocks = (pixels + rows - 1) / rows * ((s.out + columns - 1) / columns);
    host::launch(dim3(blocks, 1, f), kThreads, [&] {
        kernel(x.data(), taps.data(), bias.data(), s.residual ? residual.data() : nullptr, out.data(), s.height,
               s.width, s.in, s.out, s.doubled);
    });
    expect(name, s, relative_error(out, expected));
}

void check_narrow(const ConvShape& s) {
    const auto x = random_halves(size_t(s.height) * s.width * s.in);
    const auto weight = random_halves(size_t(s.out) * s.in * 9, 0.1f), taps = packed(s, weight);
    const auto bias = random_floats(s.out);
    const auto expected = plain_conv(s, x, weight, bias, {});
    std::vector<float> out(expected.size(), NAN);
    host::launch(dim3((s.width + kSide - 1) / kSide, (s.height + kSide - 1) / kSide), kNarrowWarps * 32, [&] {
        conv_sm80_narrow(x.data(), taps.data(), bias.data(), out.data(), s.height, s.width, s.in, s.out);
    });
    expect("conv_sm80_narrow", s, relative_error(out, expected), 1e-5);
}

}  // namespace

int main() {
    const ConvShape shapes[] = {{5, 7, 16, 8, false, false},   {1, 1, 8, 40, false, true},
                                {9, 13, 32, 136, false, true}, {12, 12, 96, 64, false, true},
                                {16, 9, 72, 96, true, false},  {1, 3, 40, 8, true, true},
                                {11, 13, 64, 136, true, true}};
    for (const ConvShape& s : shapes) {
        check("conv_sm80_128x128", conv_sm80_128x128, 128, 128, s);
        check("conv_sm80_128x64", conv_sm80_128x64, 128, 64, s);
        check("conv_sm80_64x32", conv_sm80_64x32, 64, 32, s);
    }
    for (const ConvShape& s : {ConvShape{1, 1, 8, 3}, {17, 35, 72, 3}, {16, 16, 32, 8}, {33, 5, 128, 1}})
        check_narrow(s);
    return failures != 0;
}
