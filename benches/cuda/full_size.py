"""Weight files of FLUX.1-dev's full size with random values, for loading and drawing from files on a card.

    python full_size.py FOLDER [--bf16]

Writes `flux1-dev.safetensors` (BFL's names; fp8 e4m3, or bf16), `t5.safetensors` (T5-XXL, fp8), `clip.safetensors` and
`ae.safetensors` (the decoder, bf16), and `models.toml`, which names them `full`. 17 GB, or 29 with --bf16. Values are
normal, scaled so that what flows through stays finite; pictures are noise.
"""

import json
import struct
import sys
from pathlib import Path

import torch
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

folder, bf16 = Path(sys.argv[1]), "--bf16" in sys.argv
folder.mkdir(parents=True, exist_ok=True)
device = "cuda" if torch.cuda.is_available() else "cpu"
NAMES = {torch.float8_e4m3fn: "F8_E4M3", torch.bfloat16: "BF16"}


def linear(name, out, inner):
    return {f"{name}.weight": (out, inner), f"{name}.bias": (out,)}


def transformer(hidden=3072, doubles=19, singles=38, mlp=4):
    shapes = {}
    for name, out, inner in [("img_in", hidden, 64), ("txt_in", hidden, 4096)]:
        shapes |= linear(name, out, inner)
    for name, inner in [("time_in", 256), ("vector_in", 768), ("guidance_in", 256)]:
        shapes |= linear(f"{name}.in_layer", hidden, inner) | linear(f"{name}.out_layer", hidden, hidden)
    norms = lambda name: {f"{name}.{which}_norm.scale": (hidden // 24,) for which in ("query", "key")}
    for block in range(doubles):
        for side in ("img", "txt"):
            at = f"double_blocks.{block}.{side}_"
            shapes |= linear(f"{at}mod.lin", 6 * hidden, hidden) | linear(f"{at}attn.qkv", 3 * hidden, hidden)
            shapes |= linear(f"{at}attn.proj", hidden, hidden) | norms(f"{at}attn.norm")
            shapes |= linear(f"{at}mlp.0", mlp * hidden, hidden) | linear(f"{at}mlp.2", hidden, mlp * hidden)
    for block in range(singles):
        at = f"single_blocks.{block}."
        shapes |= linear(f"{at}linear1", (3 + mlp) * hidden, hidden) | linear(f"{at}linear2", hidden, (1 + mlp) * hidden)
        shapes |= linear(f"{at}modulation.lin", 3 * hidden, hidden) | norms(f"{at}norm")
    return shapes | linear("final_layer.linear", 64, hidden) | linear("final_layer.adaLN_modulation.1", 2 * hidden, hidden)


def conv(name, out, inner, side):
    return {f"{name}.weight": (out, inner, side, side), f"{name}.bias": (out,)}


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def residual(name, inner, out):
    shapes = norm(f"{name}.norm1", inner) | conv(f"{name}.conv1", out, inner, 3)
    shapes |= norm(f"{name}.norm2", out) | conv(f"{name}.conv2", out, out, 3)
    return shapes if inner == out else shapes | conv(f"{name}.nin_shortcut", out, inner, 1)


def decoder(widths=(128, 256, 512, 512)):
    width = widths[-1]
    shapes = conv("decoder.conv_in", width, 16, 3)
    shapes |= residual("decoder.mid.block_1", width, width) | residual("decoder.mid.block_2", width, width)
    shapes |= norm("decoder.mid.attn_1.norm", width)
    for which in ("q", "k", "v", "proj_out"):
        shapes |= conv(f"decoder.mid.attn_1.{which}", width, width, 1)
    for level in reversed(range(len(widths))):
        for block in range(3):
            shapes |= residual(f"decoder.up.{level}.block.{block}", width, widths[level])
            width = widths[level]
        if level > 0:
            shapes |= conv(f"decoder.up.{level}.upsample.conv", width, width, 3)
    return shapes | norm("decoder.norm_out", width) | conv("decoder.conv_out", 3, width, 3)


def shapes_of(model):
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def write(path, shapes, dtype):
    header, at = {}, 0
    for name, shape in shapes.items():
        count = 1
        for side in shape:
            count *= side
        header[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [at, at + count * dtype.itemsize]}
        at += count * dtype.itemsize
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb", buffering=0) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            inner = 1
            for side in shape[1:]:
                inner *= side
            values = torch.randn(shape, device=device, dtype=torch.bfloat16)
            if len(shape) > 1:
                values *= min(0.5 * inner**-0.5, 0.02) if "flux1" in path.name else 0.7 * inner**-0.5
            else:
                values = values * 0.02 + (1 if "norm" in name and not name.endswith("bias") else 0)
            file.write(values.to(dtype).view(torch.uint8).cpu().numpy().data)
    print(f"{path.name}: {path.stat().st_size} bytes", flush=True)


t5 = dict(d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, vocab_size=32128)
with torch.device("meta"):
    encoders = {
        "t5": shapes_of(T5EncoderModel(T5Config(feed_forward_proj="gated-gelu", **t5))),
        "clip": shapes_of(CLIPTextModel(CLIPTextConfig(vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12))),
    }
# One tensor under two names is stored under one.
encoders["t5"].pop("encoder.embed_tokens.weight", None)
encoders["clip"] = {name: shape for name, shape in encoders["clip"].items() if not name.endswith("position_ids")}
write(folder / "flux1-dev.safetensors", transformer(), torch.bfloat16 if bf16 else torch.float8_e4m3fn)
write(folder / "t5.safetensors", encoders["t5"], torch.float8_e4m3fn)
write(folder / "clip.safetensors", encoders["clip"], torch.bfloat16)
write(folder / "ae.safetensors", decoder(), torch.bfloat16)
named = [("transformer", "flux1-dev"), ("t5", "t5"), ("clip", "clip"), ("vae", "ae")]
lines = [f'{part} = "{(folder / name).resolve()}.safetensors"' for part, name in named]
(folder / "models.toml").write_text("\n".join(['[[model]]', 'name = "full"', 'base = "flux1-dev"', *lines]) + "\n")
