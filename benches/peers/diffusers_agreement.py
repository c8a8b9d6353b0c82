#!/usr/bin/env python3
"""The transformer of full size against diffusers' on one card: the same weights, the same inputs, one evaluation.

    flux-tui bench --model flux1-dev --synthetic --precision P --sizes 512x512,1024x1024 --velocity-to DIR/P --repeat 1
    python benches/peers/diffusers_agreement.py DIR

for P = bf16, fp8, fp8-storage. The weights are those of `--synthetic`, made here again by the same formulas
(src/engine/cuda/kernels/sampling.cu). diffusers runs with bf16 weights and with fp8 ones widened, each in bf16 and in
fp32 (48 GB): what bf16 itself costs is the distance between those two, and ours has to be no farther from fp32. Then
once more with the activations of every block's linear layers quantised row by row and multiplied by torch's own fp8
product, which is what the fp8 engine has to be as good as. Prints relative norms of the differences.
"""
import re
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import FluxTransformer2DModel

DEVICE = "cuda"
DEVIATION, NORM_DEVIATION = 0.02, 0.1
TEXT, SIZES = 512, {"512x512": (32, 32), "1024x1024": (64, 64)}
MASK = (1 << 64) - 1


def signed(x):
    return x - (1 << 64) if x >> 63 else x


def shifted(x, bits):
    """A logical shift to the right."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def mix(x):
    x = x + signed(0x9E3779B97F4A7C15)
    x = (x ^ shifted(x, 30)) * signed(0xBF58476D1CE4E5B9)
    x = (x ^ shifted(x, 27)) * signed(0x94D049BB133111EB)
    return x ^ shifted(x, 31)


def seed_of(name):
    hash = 0xCBF29CE484222325
    for byte in name.encode():
        hash = ((hash ^ byte) * 0x100000001B3) & MASK
    return signed(hash)


def normal(name, *shape, piece=1 << 26):
    """Standard normal values of the stream that belongs to a name."""
    count, seed = int(np.prod(shape)), seed_of(name)
    out = torch.empty(count, device=DEVICE)
    for first in range(0, count, piece):
        index = torch.arange(first, min(first + piece, count), device=DEVICE, dtype=torch.int64)
        bits = mix(mix(index) ^ seed)
        u = (shifted(bits, 8) & 0xFFFFFF).float() * 2**-24 + 2**-25
        v = shifted(bits, 40).float() * 2**-24
        out[first : first + piece] = torch.sqrt(-2 * torch.log(u)) * torch.cos(6.2831853 * v)
    return out.reshape(shape)


def tensor(name, fp8, *shape):
    if name.endswith(".scale"):
        return (1 + NORM_DEVIATION * normal(name, *shape)).bfloat16()
    values = DEVIATION * normal(name, *shape)
    is_block = re.search(r"(_attn\.(qkv|proj)|_mlp\.[02]|linear[12]|_mod\.lin|modulation\.lin|adaLN_modulation\.1)\.weight", name)
    return values.to(torch.float8_e4m3fn).bfloat16() if fp8 and is_block else values.bfloat16()


def fill(model, fp8):
    """Every parameter of diffusers' model, from BFL's names."""
    state = model.state_dict()
    hidden, mlp = 3072, 12288

    def put(name, *parts):
        """One of BFL's tensors, cut along its rows into diffusers'."""
        rows = sum(state[part].shape[0] for part in parts)
        whole = tensor(name, fp8, rows, *state[parts[0]].shape[1:])
        for part, piece in zip(parts, whole.split([state[part].shape[0] for part in parts])):
            state[part].copy_(piece)

    def linear(name, *parts):
        for kind in ("weight", "bias"):
            put(f"{name}.{kind}", *[f"{part}.{kind}" for part in parts])

    for bfl, part in (("time_in", "timestep"), ("vector_in", "text"), ("guidance_in", "guidance")):
        linear(f"{bfl}.in_layer", f"time_text_embed.{part}_embedder.linear_1")
        linear(f"{bfl}.out_layer", f"time_text_embed.{part}_embedder.linear_2")
    linear("img_in", "x_embedder")
    linear("txt_in", "context_embedder")
    linear("final_layer.linear", "proj_out")
    for kind in ("weight", "bias"):  # diffusers has scale before shift
        name = f"final_layer.adaLN_modulation.1.{kind}"
        shift, scale = tensor(name, fp8, *state[f"norm_out.linear.{kind}"].shape).chunk(2)
        state[f"norm_out.linear.{kind}"].copy_(torch.cat([scale, shift]))
    for i in range(19):
        at, to = f"double_blocks.{i}", f"transformer_blocks.{i}"
        linear(f"{at}.img_attn.qkv", *[f"{to}.attn.to_{x}" for x in "qkv"])
        linear(f"{at}.txt_attn.qkv", *[f"{to}.attn.add_{x}_proj" for x in "qkv"])
        linear(f"{at}.img_attn.proj", f"{to}.attn.to_out.0")
        linear(f"{at}.txt_attn.proj", f"{to}.attn.to_add_out")
        for bfl, name in (("img_mlp", "ff"), ("txt_mlp", "ff_context")):
            linear(f"{at}.{bfl}.0", f"{to}.{name}.net.0.proj")
            linear(f"{at}.{bfl}.2", f"{to}.{name}.net.2")
        linear(f"{at}.img_mod.lin", f"{to}.norm1.linear")
        linear(f"{at}.txt_mod.lin", f"{to}.norm1_context.linear")
        for bfl, name in (("img", "norm_"), ("txt", "norm_added_")):
            put(f"{at}.{bfl}_attn.norm.query_norm.scale", f"{to}.attn.{name}q.weight")
            put(f"{at}.{bfl}_attn.norm.key_norm.scale", f"{to}.attn.{name}k.weight")
    for i in range(38):
        at, to = f"single_blocks.{i}", f"single_transformer_blocks.{i}"
        linear(f"{at}.linear1", *[f"{to}.attn.to_{x}" for x in "qkv"], f"{to}.proj_mlp")
        linear(f"{at}.linear2", f"{to}.proj_out")
        linear(f"{at}.modulation.lin", f"{to}.norm.linear")
        put(f"{at}.norm.query_norm.scale", f"{to}.attn.norm_q.weight")
        put(f"{at}.norm.key_norm.scale", f"{to}.attn.norm_k.weight")


class RowwiseFp8(torch.nn.Module):
    """A linear layer by torch's fp8 product: rows of both sides quantised with a scale each."""

    def __init__(self, linear):
        super().__init__()
        # The weights are fp8 numbers already: their scale is one.
        self.weight = linear.weight.data.to(torch.float8_e4m3fn)
        self.ones = torch.ones(1, self.weight.shape[0], device=DEVICE)
        self.bias = linear.bias.data

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1])
        scale = (rows.abs().amax(dim=1, keepdim=True).float() / 448).clamp(min=1e-12)
        quantised = (rows.float() / scale).clamp(-448, 448).to(torch.float8_e4m3fn)
        out = torch._scaled_mm(
            quantised, self.weight.t(), scale_a=scale, scale_b=self.ones, bias=self.bias,
            out_dtype=torch.bfloat16, use_fast_accum=True,
        )
        return out.reshape(*x.shape[:-1], -1)


def quantise(model):
    for block in list(model.transformer_blocks) + list(model.single_transformer_blocks):
        for name, child in list(block.named_modules()):
            if isinstance(child, torch.nn.Linear) and "norm" not in name:
                parent = block.get_submodule(name.rpartition(".")[0])
                setattr(parent, name.rpartition(".")[2], RowwiseFp8(child))


def evaluate(model, grid, dtype=torch.bfloat16):
    """The velocity. In bf16 diffusers embeds a thousand times the time and the guidance rounded to bf16: 752 and 3504."""
    rows, columns = grid
    time, guidance = (0.75, 3.5) if dtype == torch.bfloat16 else (0.752, 3.504)
    ids = torch.zeros(rows, columns, 3, device=DEVICE)
    ids[..., 1] += torch.arange(rows, device=DEVICE)[:, None]
    ids[..., 2] += torch.arange(columns, device=DEVICE)[None]
    inputs = dict(
        hidden_states=normal("latent", 1, rows * columns, 64).bfloat16().to(dtype),
        encoder_hidden_states=normal("text", 1, TEXT, 4096).bfloat16().to(dtype),
        pooled_projections=normal("pooled", 1, 768).bfloat16().to(dtype),
        timestep=torch.tensor([time], device=DEVICE, dtype=dtype),
        guidance=torch.tensor([guidance], device=DEVICE, dtype=torch.float32),
        img_ids=ids.reshape(-1, 3), txt_ids=torch.zeros(TEXT, 3, device=DEVICE), return_dict=False,
    )
    with torch.inference_mode():
        return model(**inputs)[0][0].float().cpu().numpy()


def error(ours, theirs):
    return float(np.linalg.norm((ours - theirs).astype(np.float64)) / np.linalg.norm(theirs.astype(np.float64)))


def main():
    folder = Path(sys.argv[1])
    ours = lambda precision, size: np.fromfile(folder / precision / f"{size}.f32", dtype="<f4").reshape(-1, 64)
    with torch.device("meta"):
        model = FluxTransformer2DModel(guidance_embeds=True)
    model = model.to(torch.bfloat16).to_empty(device=DEVICE).eval().requires_grad_(False)
    theirs, exact = {}, {}
    for fp8 in (False, True):
        fill(model, fp8)
        for size, grid in SIZES.items():
            theirs[fp8, size] = evaluate(model, grid)
        model = model.float()
        for size, grid in SIZES.items():
            exact[fp8, size] = evaluate(model, grid, torch.float32)
        model = model.bfloat16()
    quantise(model)
    quantised = {size: evaluate(model, grid) for size, grid in SIZES.items()}
    rows = [
        ("bf16: ours, fp32", lambda s: error(ours("bf16", s), exact[False, s])),
        ("bf16: diffusers, fp32", lambda s: error(theirs[False, s], exact[False, s])),
        ("bf16: ours, diffusers", lambda s: error(ours("bf16", s), theirs[False, s])),
        ("bf16 from fp8 weights: ours, fp32", lambda s: error(ours("fp8-storage", s), exact[True, s])),
        ("bf16 from fp8 weights: diffusers, fp32", lambda s: error(theirs[True, s], exact[True, s])),
        ("fp8: ours, fp32", lambda s: error(ours("fp8", s), exact[True, s])),
        ("fp8: diffusers quantised, fp32", lambda s: error(quantised[s], exact[True, s])),
    ]
    print(f"{'relative norm of the difference':42} " + " ".join(f"{size:>10}" for size in SIZES))
    for name, value in rows:
        print(f"{name:42} " + " ".join(f"{value(size):10.2e}" for size in SIZES), flush=True)


main()
