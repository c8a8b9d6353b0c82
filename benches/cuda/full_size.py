"""Weight files of FLUX.1-dev's full size with random values, for loading and drawing from files on a card.

    python full_size.py FOLDER [--bf16] [--gguf] [--wide] [--loras]

Writes `flux1-dev.safetensors` (BFL's names; fp8 e4m3, or bf16), `t5.safetensors` (T5-XXL, fp8), `clip.safetensors` and
`ae.safetensors` (the decoder, bf16), and `models.toml`, which names them `full`. 17 GB, or 29 with --bf16. With --gguf also
`flux1-dev-Q8_0.gguf` and `flux1-dev-Q4_0.gguf`, named `full-q8` and `full-q4`: 19 GB more. With --wide also
`flux1-dev-bf16.safetensors`, named `full-bf16`: 24 GB more. With --loras also `flux1-lora-1`, `-2` and `-large`, bf16 on every
linear layer of the blocks: of rank 16 twice, 0.15 GB each, and of rank 32. Values are normal, scaled so that
what flows through stays finite; pictures are noise.
"""

import json
import struct
import sys
from pathlib import Path

import torch
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

folder, bf16, gguf = Path(sys.argv[1]), "--bf16" in sys.argv, "--gguf" in sys.argv
wide, loras = "--wide" in sys.argv, "--loras" in sys.argv
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


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


# ggml's number of the type, and bytes of a block of 32 values: an fp16 scale, then the values.
GGML = {"Q8_0": (8, 34), "Q4_0": (2, 18)}
F32 = 0


def blocks(kind, count, scale):
    """So many blocks whose values have about this deviation."""
    _, size = GGML[kind]
    if kind == "Q8_0":
        values, step = torch.randint(-127, 128, (count, size - 2), device=device, dtype=torch.int16).to(torch.int8).view(torch.uint8), scale / 73.6
    else:
        values, step = torch.randint(0, 256, (count, size - 2), device=device, dtype=torch.int16).to(torch.uint8), scale / 4.6
    steps = torch.full((count, 1), step, device=device, dtype=torch.float16).view(torch.uint8).view(count, 2)
    return torch.cat([steps, values], dim=1)


def write_gguf(path, shapes, kind):
    """Matrices in blocks, all else in fp32, as published files have them."""
    number, size = GGML[kind]
    entries, at = [], 0
    for name, shape in shapes.items():
        count = 1
        for side in shape:
            count *= side
        packed = len(shape) > 1 and shape[-1] % 32 == 0
        bytes_ = count // 32 * size if packed else 4 * count
        entries.append((name, shape, number if packed else F32, at, count))
        at += bytes_ + -bytes_ % 32
    header = b"GGUF" + struct.pack("<IQQ", 3, len(entries), 1) + string("general.architecture") + struct.pack("<I", 8) + string("flux")
    for name, shape, kind_, offset, _ in entries:
        header += string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape)) + struct.pack("<IQ", kind_, offset)
    header += b"\0" * (-len(header) % 32)
    with open(path, "wb", buffering=0) as file:
        file.write(header)
        for name, shape, kind_, offset, count in entries:
            if kind_ == F32:
                values = torch.randn(count, device=device) * 0.02 + (1 if "norm" in name and not name.endswith("bias") else 0)
                data = values.view(torch.uint8)
            else:
                data = blocks(kind, count // 32, min(0.5 * shape[-1] ** -0.5, 0.02)).flatten()
            file.write(data.cpu().numpy().data)
            file.write(b"\0" * (-data.numel() % 32))
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
if gguf:
    for kind in GGML:
        write_gguf(folder / f"flux1-dev-{kind}.gguf", transformer(), kind)
if wide:
    write(folder / "flux1-dev-bf16.safetensors", transformer(), torch.bfloat16)
if loras:
    for name, rank in [("1", 16), ("2", 16), ("large", 32)]:
        shapes = {}
        for layer, shape in transformer().items():
            if layer.endswith(".weight") and "_blocks." in layer:
                at = f"diffusion_model.{layer.removesuffix('.weight')}"
                shapes |= {f"{at}.lora_A.weight": (rank, shape[1]), f"{at}.lora_B.weight": (shape[0], rank)}
        write(folder / f"flux1-lora-{name}.safetensors", shapes, torch.bfloat16)
lines = [f'{part} = "{(folder / name).resolve()}.safetensors"' for part, name in named]
text = "\n".join(["[[model]]", 'name = "full"', 'base = "flux1-dev"', *lines]) + "\n"
if gguf:
    for name, kind in [("full-q8", "Q8_0"), ("full-q4", "Q4_0")]:
        file = (folder / f"flux1-dev-{kind}.gguf").resolve()
        text += f'[[model]]\nname = "{name}"\nbase = "full"\ntransformer = "{file}"\n'
if wide:
    file = (folder / "flux1-dev-bf16.safetensors").resolve()
    text += f'[[model]]\nname = "full-bf16"\nbase = "full"\ntransformer = "{file}"\n'
(folder / "models.toml").write_text(text)
