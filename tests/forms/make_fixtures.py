"""Make the files in fixtures/ that the Rust tests read, with the programs that people's files come from: gguf (of
llama.cpp), bitsandbytes and diffusers, on the CPU.

  blocks.gguf, blocks.safetensors   a matrix of every type that GGUF has here, and the same as gguf's own code widens it;
                                    K-quants, which gguf only reads, are random blocks
  tiny.gguf                         a transformer of the real architecture, 64 channels, in several types, as ComfyUI's
                                    converter writes it: one weight stored in another shape
  tiny-prefixed.gguf                the same as stable-diffusion.cpp writes it: a prefix and no architecture
  tiny-nf4.safetensors              the same in NF4, BFL's names, scales of 8 bits
  tiny-nf4-diffusers.safetensors    … diffusers' names, scales of fp32
  tiny-fp4.safetensors              a weight in FP4, which is refused
  tiny-e5m2.safetensors             the same in fp8 e5m2
  tiny.json                         of each of these, a hash of every tensor's values in fp32, under BFL's names
  velocities.safetensors            of each of these, what diffusers makes of some noise with those values

Run as: python tests/forms/make_fixtures.py. Ran with torch 2.11.0, diffusers 0.42.1, gguf 0.19.0,
bitsandbytes 0.50.2, on the CPU.
"""

import json
import sys
from pathlib import Path

import bitsandbytes.functional as bnb
import gguf
import numpy as np
import torch
from diffusers import FluxTransformer2DModel
from gguf.quants import dequantize, quantize
from safetensors.torch import save_file

HERE = Path(__file__).parent
OUT = HERE / "fixtures"
sys.path.insert(0, str(HERE.parent / "reference"))
from make_reference import diffusers_transformer, position_ids  # noqa: E402

Type = gguf.GGMLQuantizationType
WRITTEN = [Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1]
READ_ONLY = [Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K]
# Where a block has its fp16 numbers.
HALVES = {Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208]}
SHAPE = (3, 512)
HIDDEN, HEADS, MLP, CHANNELS, CONTEXT, VECTOR = 64, 2, 256, 64, 64, 64
rng = np.random.default_rng(4)


def random_blocks(kind, shape):
    """Blocks of any bits whose fp16 numbers are of ordinary size, one of them of none."""
    values, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (np.prod(shape) // values, size), dtype=np.uint8)
    for at in HALVES[kind]:
        numbers = (rng.standard_normal(len(blocks)) * 0.01).astype(np.float16)
        numbers[1] = np.float16(6e-8)
        blocks[:, at : at + 2] = numbers.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(shape[0], -1)


def write_blocks():
    writer = gguf.GGUFWriter(OUT / "blocks.gguf", "flux")
    wide = {}
    for kind in WRITTEN + READ_ONLY:
        if kind in READ_ONLY:
            data = random_blocks(kind, SHAPE)
        else:
            values = rng.standard_normal(SHAPE).astype(np.float32)
            values[0, :32] = 0
            data = quantize(values, kind)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        wide[kind.name] = torch.from_numpy(np.array(dequantize(data, kind), dtype=np.float32).reshape(SHAPE))
    finish(writer)
    save_file(wide, OUT / "blocks.safetensors")


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tiny():
    """A transformer with one block of each kind, BFL's names. Numbers of ordinary size go through it."""
    weights = {}

    def linear(name, out, inner):
        weights[f"{name}.weight"] = rng.standard_normal((out, inner)).astype(np.float32) * inner**-0.5
        weights[f"{name}.bias"] = rng.standard_normal(out).astype(np.float32) * 0.02

    linear("img_in", HIDDEN, CHANNELS)
    linear("txt_in", HIDDEN, CONTEXT)
    for name, inner in [("time_in", 256), ("vector_in", VECTOR), ("guidance_in", 256)]:
        linear(f"{name}.in_layer", HIDDEN, inner)
        linear(f"{name}.out_layer", HIDDEN, HIDDEN)
    norms = ["single_blocks.0.norm"]
    for stream in ["img", "txt"]:
        name = f"double_blocks.0.{stream}"
        linear(f"{name}_mod.lin", 6 * HIDDEN, HIDDEN)
        linear(f"{name}_attn.qkv", 3 * HIDDEN, HIDDEN)
        linear(f"{name}_attn.proj", HIDDEN, HIDDEN)
        linear(f"{name}_mlp.0", MLP, HIDDEN)
        linear(f"{name}_mlp.2", HIDDEN, MLP)
        norms.append(f"{name}_attn.norm")
    linear("single_blocks.0.modulation.lin", 3 * HIDDEN, HIDDEN)
    linear("single_blocks.0.linear1", 3 * HIDDEN + MLP, HIDDEN)
    linear("single_blocks.0.linear2", HIDDEN, HIDDEN + MLP)
    linear("final_layer.adaLN_modulation.1", 2 * HIDDEN, HIDDEN)
    linear("final_layer.linear", CHANNELS, HIDDEN)
    for norm in norms:
        for which in ["query", "key"]:
            scale = 1 + 0.1 * rng.standard_normal(HIDDEN // HEADS)
            weights[f"{norm}.{which}_norm.scale"] = scale.astype(np.float32)
    return weights


def write_tiny(weights):
    kinds = [Type.Q8_0, Type.Q5_1, Type.Q4_0, Type.BF16, Type.Q5_0, Type.Q4_1, Type.F16]
    plain = gguf.GGUFWriter(OUT / "tiny.gguf", "flux")
    prefixed = gguf.GGUFWriter(OUT / "tiny-prefixed.gguf", None)
    # The writer puts an architecture into every file; stable-diffusion.cpp does not.
    prefixed.kv_data[0].pop("general.architecture", None)
    wide = {}
    matrices = 0
    for name, values in weights.items():
        kind = Type.F32
        if values.ndim == 2:
            kind = kinds[matrices % len(kinds)]
            matrices += 1
        data = values
        if name == "txt_in.weight":
            # Rows of 64 as rows of 256, as for types whose blocks are longer than a row.
            kind, data = Type.Q8_0, values.reshape(-1, 256)
            plain.add_array(f"comfy.gguf.orig_shape.{name}", list(values.shape))
        data = quantize(data, kind)
        plain.add_tensor(name, data, raw_dtype=kind)
        if name != "txt_in.weight":
            prefixed.add_tensor(f"model.diffusion_model.{name}", data, raw_dtype=kind)
        else:
            prefixed.add_tensor(f"model.diffusion_model.{name}", quantize(values, kind), raw_dtype=kind)
        wide[name] = np.array(dequantize(data, kind), dtype=np.float32).reshape(values.shape)
    finish(plain)
    finish(prefixed)
    return wide


def nf4(name, values, nested, stored):
    packed, state = bnb.quantize_4bit(values, blocksize=64, quant_type="nf4", compress_statistics=nested)
    stored[name] = packed
    for key, value in state.as_dict(packed=True).items():
        stored[f"{name}.{key}"] = value
    # bitsandbytes rounds to the state's type at the end; what is before that is fp32.
    state.dtype = torch.float32
    return bnb.dequantize_4bit(packed, state).float().reshape(values.shape)


def write_nf4(weights, diffusers, path):
    """Gives the values under BFL's names."""
    stored, wide = {}, {}
    for name, values in weights.items():
        if values.ndim == 2:
            wide[name] = nf4(name, values, not diffusers, stored)
        else:
            stored[name] = values.bfloat16()
            wide[name] = stored[name].float()
    save_file({name: tensor.contiguous() for name, tensor in stored.items()}, path)
    return wide


def undo(names, wide, weights):
    """From diffusers' names to BFL's: each of BFL's values is looked for by where its number went."""
    numbered, first = {}, 0
    for name, values in weights.items():
        count = values.numel()
        numbered[name] = torch.arange(first, first + count, dtype=torch.float64).reshape(values.shape)
        first += count
    moved = diffusers_transformer(numbered, config())
    flat = torch.empty(first)
    for name, where in moved.items():
        flat[where.reshape(-1).long()] = wide[name].reshape(-1)
    return {name: flat[where.reshape(-1).long()].reshape(where.shape) for name, where in numbered.items()}


def config():
    return {
        "in_channels": CHANNELS,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": HIDDEN // HEADS,
        "num_attention_heads": HEADS,
        "joint_attention_dim": CONTEXT,
        "pooled_projection_dim": VECTOR,
        "guidance_embeds": True,
        "axes_dims_rope": [4, 14, 14],
    }


def model_of(wide):
    model = FluxTransformer2DModel(**config()).eval()
    model.load_state_dict(diffusers_transformer(wide, config()))
    return model


def velocity(wide, inputs):
    with torch.no_grad():
        return model_of(wide)(
            hidden_states=inputs["noise"][None],
            encoder_hidden_states=inputs["text"][None],
            pooled_projections=inputs["pooled"],
            timestep=torch.tensor([0.7]),
            guidance=torch.tensor([3.0]),
            img_ids=position_ids(4, 4),
            txt_ids=torch.zeros(8, 3),
            return_dict=False,
        )[0][0]


def fnv(values):
    """FNV-1a of the values' bytes, 64 bits."""
    state = 0xCBF29CE484222325
    for byte in np.ascontiguousarray(values, dtype="<f4").tobytes():
        state = ((state ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{state:016x}"


def main():
    OUT.mkdir(exist_ok=True)
    write_blocks()
    weights = tiny()
    tensors = {name: torch.from_numpy(values) for name, values in weights.items()}
    all_wide = {"tiny.gguf": {n: torch.from_numpy(v) for n, v in write_tiny(weights).items()}}
    all_wide["tiny-prefixed.gguf"] = all_wide["tiny.gguf"]
    all_wide["tiny-nf4.safetensors"] = write_nf4(tensors, False, OUT / "tiny-nf4.safetensors")
    moved = diffusers_transformer(dict(tensors), config())
    path = OUT / "tiny-nf4-diffusers.safetensors"
    all_wide[path.name] = undo(moved, write_nf4(moved, True, path), tensors)
    fp8 = {n: v.to(torch.float8_e5m2 if v.ndim == 2 else torch.bfloat16) for n, v in tensors.items()}
    save_file(fp8, OUT / "tiny-e5m2.safetensors")
    all_wide["tiny-e5m2.safetensors"] = {n: v.float() for n, v in fp8.items()}

    name = "double_blocks.0.img_attn.qkv.weight"
    packed, state = bnb.quantize_4bit(tensors[name], blocksize=64, quant_type="fp4")
    fp4 = {name: packed} | {f"{name}.{key}": value for key, value in state.as_dict(packed=True).items()}
    save_file(fp4, OUT / "tiny-fp4.safetensors")

    generator = torch.Generator().manual_seed(5)
    inputs = {
        "noise": torch.randn(16, CHANNELS, generator=generator),
        "text": torch.randn(8, CONTEXT, generator=generator),
        "pooled": torch.randn(1, VECTOR, generator=generator),
    }
    velocities = {name: velocity(wide, inputs) for name, wide in all_wide.items()}
    save_file(inputs | velocities, OUT / "velocities.safetensors")
    hashes = {name: {t: fnv(v.numpy()) for t, v in sorted(wide.items())} for name, wide in all_wide.items()}
    (OUT / "tiny.json").write_text(json.dumps(hashes, indent=1) + "\n")


if __name__ == "__main__":
    main()
