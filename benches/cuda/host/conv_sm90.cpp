// conv_sm90.cu on the CPU.
#include "conv_sm90.cu"  // with its shared memory in host::arena: see run.sh
#include "reference.h"

namespace {

template <class S>
void check(const char* name, decltype(&conv_sm90_256) kernel, const ConvShape& s, int blocks) {
    if (S::kDoubled != s.doubled) return;
    const int pixels = s.height * s.width, f = s.doubled ? 4 : 1, taps = S::kSide * S::kSide;
    const auto x = random_halves(size_t(pixels) * s.in), weight = random_halves(size_t(s.out) * s.in * 9, 0.1f);
    const auto bias = random_floats(s.out);
    const auto residual = random_halves(size_t(pixels) * f * s.out);
    const auto expected = plain_conv(s, x, weight, bias, residual);
    const auto tapped = packed(s, weight);
    auto out = poisoned(expected.size());
    const CUtensorMap x_map{reinterpret_cast<const uint16_t*>(x.data()),
                            {s.in, s.width, s.height},
                            {kStep, kWidth, S::kHeight + S::kSide - 1}};
    const CUtensorMap weight_map{
        reinterpret_cast<const uint16_t*>(tapped.data()), {s.in, taps, f * s.out}, {kStep, 1, kColumns}};
    host::launch(dim3(blocks), kThreads, [&] {
        kernel(x_map, weight_map, bias.data(), s.residual ? residual.data() : nullptr, out.data(), s.height, s.width,
               s.in, s.out);
    });
    expect(name, s, relative_error(out, expected));
}

}  // namespace

int main() {
    const ConvShape shapes[] = {{5, 7, 16, 8, false, false},    {1, 1, 8, 40, false, true},
                                {17, 19, 64, 136, false, true}, {12, 35, 136, 64, false, true},
                                {16, 9, 72, 96, true, false},   {1, 3, 40, 8, true, true},
                                {17, 18, 128, 136, true, true}};
    for (const ConvShape& s : shapes)
        for (int blocks : {1, 3}) {
            check<Shape<3, 2>>("conv_sm90_256", conv_sm90_256, s, blocks);
            check<Shape<3, 1>>("conv_sm90_128", conv_sm90_128, s, blocks);
            check<Shape<2, 2>>("conv_sm90_doubled_256", conv_sm90_doubled_256, s, blocks);
            check<Shape<2, 1>>("conv_sm90_doubled_128", conv_sm90_doubled_128, s, blocks);
        }
    return failures != 0;
}
