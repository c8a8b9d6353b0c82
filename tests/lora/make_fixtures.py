"""Make the files in fixtures/ that the Rust tests read: a small LoRA of the built-in model in every form, and what diffusers
makes of some noise with the weights merged by each tool's own formula, written out below. On the CPU.

  NAME.safetensors         a LoRA; its numbers are random, and large enough that a mistake shows
  velocities.safetensors   the noise, text and pooled vector; `none`: the velocity without a LoRA; NAME: with it at strength
                           0.75 (STRENGTH), merged; for text: T5's and CLIP's output with merged weights
  cases.json               of each file how many tensors it has, and how many belong to nothing

Where PEFT has the form, the same file is also loaded by diffusers itself at strength 1, and must agree.

Run as: python tests/lora/make_fixtures.py. Ran with torch 2.15.0, diffusers 0.42.1, peft 0.21.2, transformers 5.24.0.
"""

import json
import sys
from pathlib import Path

import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import save_file

HERE = Path(__file__).parent
OUT = HERE / "fixtures"
sys.path.insert(0, str(HERE.parent / "reference"))
from make_reference import (  # noqa: E402
    diffusers_transformer,
    load_clip,
    load_t5,
    position_ids,
    read_json,
    widened,
)

STRENGTH = 0.75
CONFIG = {k: v for k, v in read_json("transformer_config.json").items() if not k.startswith("_")}
BFL = widened("flux1-nano-fp8.safetensors")
DIFFUSERS = diffusers_transformer(dict(BFL), CONFIG)
generator = torch.Generator().manual_seed(11)


def randn(*shape, size=1.0):
    return torch.randn(*shape, generator=generator) * size


def low(shape, rank):
    """A and B of a layer, so that B A x is about as large as a third of W x."""
    out, inner = shape
    return randn(rank, inner, size=inner**-0.5), randn(out, rank, size=0.3 * rank**-0.5)


class Form:
    """A file, and the model's weights with it merged."""

    def __init__(self, weights):
        self.own, self.merged, self.file, self.metadata, self.unused = weights, dict(weights), {}, None, 0

    def put(self, name, tensor, dtype=torch.float32):
        """Keeps a tensor of the file; gives its values as the file has them."""
        self.file[name] = tensor.to(dtype).contiguous()
        return self.file[name].float()

    def add(self, layer, delta, rows=None, kind="weight"):
        name = f"{layer}.{kind}"
        changed = self.merged[name].clone()
        changed[rows if rows is not None else slice(None)] += STRENGTH * delta
        self.merged[name] = changed

    def shape(self, layer):
        return tuple(self.own[f"{layer}.weight"].shape)


def low_rank(form, layer, stem, rank, alpha, names, dtype, rows=None):
    """W + alpha / rank * B A; without alpha W + B A."""
    out, inner = form.shape(layer)
    out = out if rows is None else rows.stop - rows.start
    a, b = low((out, inner), rank)
    a, b = form.put(f"{stem}.{names[0]}", a, dtype), form.put(f"{stem}.{names[1]}", b, dtype)
    scale = 1.0
    if alpha is not None:
        scale = form.put(f"{stem}.alpha", torch.tensor(float(alpha)), dtype).item() / rank
    form.add(layer, scale * (b @ a), rows)


KOHYA = ("lora_down.weight", "lora_up.weight")
PEFT = ("lora_A.weight", "lora_B.weight")
BFL_LAYERS = [
    "double_blocks.0.img_attn.qkv",
    "double_blocks.0.txt_mlp.0",
    "double_blocks.1.img_mod.lin",
    "double_blocks.2.txt_attn.proj",
    "single_blocks.0.linear1",
    "single_blocks.1.linear2",
    "single_blocks.3.modulation.lin",
    "final_layer.linear",
    "img_in",
]
DIFFUSERS_LAYERS = [
    "transformer_blocks.0.attn.to_k",
    "transformer_blocks.0.attn.to_v",
    "transformer_blocks.1.attn.add_q_proj",
    "transformer_blocks.1.norm1_context.linear",
    "transformer_blocks.2.attn.to_out.0",
    "transformer_blocks.2.ff.net.0.proj",
    "transformer_blocks.0.ff_context.net.2",
    "single_transformer_blocks.0.attn.to_q",
    "single_transformer_blocks.0.proj_mlp",
    "single_transformer_blocks.4.proj_out",
    "single_transformer_blocks.2.norm.linear",
    "norm_out.linear",
    "time_text_embed.guidance_embedder.linear_2",
]


def kohya(dtype=torch.float16, layers=BFL_LAYERS):
    form = Form(BFL)
    for at, layer in enumerate(layers):
        rank = [4, 2, 8][at % 3]
        low_rank(form, layer, f"lora_unet_{layer.replace('.', '_')}", rank, [4, 1, 12][at % 3], KOHYA, dtype)
    return form


def kohya_fp8():
    return kohya(torch.float8_e4m3fn, BFL_LAYERS[:3])


def comfy():
    """ComfyUI's names, some of its layers without alpha; a norm, and a name that is no layer's."""
    form = Form(BFL)
    for at, layer in enumerate(BFL_LAYERS[2:7]):
        low_rank(form, layer, f"diffusion_model.{layer}", 3, [None, 2][at % 2], KOHYA, torch.bfloat16)
    norm = "double_blocks.1.img_attn.norm.query_norm"
    diff = form.put(f"diffusion_model.{norm}.scale.diff", randn(64, size=0.2))
    form.add(norm, diff, kind="scale")
    form.put("diffusion_model.double_blocks.99.img_attn.qkv.lora_down.weight", randn(3, 8))
    form.put("diffusion_model.double_blocks.99.img_attn.qkv.lora_up.weight", randn(8, 3))
    form.unused = 2
    return form


def one_trainer():
    form = Form(DIFFUSERS)
    for layer in DIFFUSERS_LAYERS[:10]:
        low_rank(form, layer, f"lora_transformer_{layer.replace('.', '_')}", 4, 2, KOHYA, torch.bfloat16)
    return form


def peft():
    form = Form(DIFFUSERS)
    for layer in DIFFUSERS_LAYERS:
        low_rank(form, layer, f"transformer.{layer}", 4, None, PEFT, torch.float32)
    return form


def peft_configured():
    """Alpha in the header, as diffusers writes it: one for all layers and one for some."""
    form = Form(DIFFUSERS)
    for layer in DIFFUSERS_LAYERS[:4]:
        a, b = low(form.shape(layer), 4)
        a, b = form.put(f"transformer.{layer}.lora_A.weight", a), form.put(f"transformer.{layer}.lora_B.weight", b)
        alpha = 2 if layer.endswith("attn.to_v") else 6
        form.add(layer, alpha / 4 * (b @ a))
    config = {"r": 4, "lora_alpha": 6, "alpha_pattern": {"attn.to_v": 2}, "target_modules": DIFFUSERS_LAYERS[:4]}
    config = {f"transformer.{key}": value for key, value in config.items()}
    form.metadata = {"lora_adapter_metadata": json.dumps(config)}
    return form


def old_diffusers():
    form = Form(DIFFUSERS)
    for layer in DIFFUSERS_LAYERS[4:8]:
        low_rank(form, layer, layer, 2, None, ("lora.down.weight", "lora.up.weight"), torch.float16)
    return form


def xlabs():
    """x-flux's processors: qkv and proj of both streams, q, k and v of a single block together."""
    form = Form(BFL)
    names = ("down.weight", "up.weight")
    for number, stream in [(1, "img"), (2, "txt")]:
        for part in ["qkv", "proj"]:
            stem = f"double_blocks.1.processor.{part}_lora{number}"
            low_rank(form, f"double_blocks.1.{stream}_attn.{part}", stem, 4, None, names, torch.float32)
    low_rank(form, "single_blocks.2.linear1", "single_blocks.2.processor.qkv_lora", 4, None, names, torch.float32, slice(0, 768))
    low_rank(form, "single_blocks.2.linear2", "single_blocks.2.processor.proj_lora", 4, None, names, torch.float32)
    return form


def loha():
    """LyCORIS: W + alpha / rank * (A1 B1) * (A2 B2), element by element."""
    form = Form(BFL)
    for layer, alpha in [("double_blocks.0.img_attn.qkv", 2), ("single_blocks.1.linear1", None), ("double_blocks.2.txt_mlp.2", 4)]:
        (out, inner), stem, product = form.shape(layer), f"lora_unet_{layer.replace('.', '_')}", 1
        for which in (1, 2):
            a = form.put(f"{stem}.hada_w{which}_a", randn(out, 4, size=0.25), torch.float16)
            b = form.put(f"{stem}.hada_w{which}_b", randn(4, inner, size=0.5), torch.float16)
            product = product * (a @ b)
        scale = 1.0 if alpha is None else form.put(f"{stem}.alpha", torch.tensor(float(alpha))).item() / 4
        form.add(layer, scale * product)
    return form


def factor(form, name, shape, rank):
    """A factor of LoKr, whole or as a product; gives its values and its rank."""
    if rank is None:
        return form.put(name, randn(*shape, size=0.25), torch.bfloat16), None
    a = form.put(f"{name}_a", randn(shape[0], rank, size=0.25), torch.bfloat16)
    b = form.put(f"{name}_b", randn(rank, shape[1], size=0.5), torch.bfloat16)
    return a @ b, rank


def lokr_layer(form, layer, stem, left, ranks, alpha):
    """LyCORIS: W + scale * kron(w1, w2); scale is alpha / rank of a factor that is a product, and 1 if neither is."""
    out, inner = form.shape(layer)
    w1, first = factor(form, f"{stem}.lokr_w1", left, ranks[0])
    w2, second = factor(form, f"{stem}.lokr_w2", (out // left[0], inner // left[1]), ranks[1])
    alpha = form.put(f"{stem}.alpha", torch.tensor(float(alpha))).item()
    rank = second or first
    form.add(layer, (alpha / rank if rank else 1.0) * torch.kron(w1, w2))


def lokr():
    form = Form(BFL)
    cases = [
        ("double_blocks.0.img_attn.qkv", (16, 16), (None, 4), 2),
        ("double_blocks.1.txt_mlp.0", (8, 4), (2, None), 3),
        ("single_blocks.0.linear1", (8, 8), (None, None), 5),
        ("single_blocks.4.linear2", (4, 8), (2, 4), 2),
        ("final_layer.adaLN_modulation.1", (16, 16), (None, 4), 4),
    ]
    for layer, left, ranks, alpha in cases:
        lokr_layer(form, layer, f"lora_unet_{layer.replace('.', '_')}", left, ranks, alpha)
    return form


def lycoris():
    """LyCORIS' own prefix and diffusers' names. The last has its halves swapped in BFL's, within a row of w1."""
    form = Form(DIFFUSERS)
    for layer, left in [("transformer_blocks.1.attn.to_q", (16, 16)), ("single_transformer_blocks.3.attn.to_v", (8, 8)), ("norm_out.linear", (1, 16))]:
        lokr_layer(form, layer, f"lycoris_{layer.replace('.', '_')}", left, (None, 4), 4)
    return form


def decomposed(form, layer, stem, a, b, scale, magnitude, dim):
    """DoRA: W' = m (W + D) / ||W + D||, and with a strength W + strength (W' - W), as ComfyUI has it."""
    weight = form.own[f"{layer}.weight"]
    changed = weight + scale * (b @ a)
    norm = changed.norm(dim=dim, keepdim=True)
    form.add(layer, magnitude.reshape(norm.shape) * changed / norm - weight)


def dora():
    """The magnitudes of rows and, as older LyCORIS has them, of columns."""
    form = Form(BFL)
    for layer, dim in [("double_blocks.0.img_attn.qkv", 1), ("single_blocks.1.linear2", 1), ("double_blocks.2.txt_mlp.0", 0)]:
        stem = f"lora_unet_{layer.replace('.', '_')}"
        a, b = low(form.shape(layer), 4)
        a, b = form.put(f"{stem}.lora_down.weight", a), form.put(f"{stem}.lora_up.weight", b)
        scale = form.put(f"{stem}.alpha", torch.tensor(2.0)).item() / 4
        norm = form.own[f"{layer}.weight"].norm(dim=dim, keepdim=True)
        magnitude = form.put(f"{stem}.dora_scale", norm * (1 + randn(*norm.shape, size=0.2)))
        decomposed(form, layer, stem, a, b, scale, magnitude, dim)
    return form


def peft_dora():
    form = Form(DIFFUSERS)
    for layer in ["transformer_blocks.0.attn.to_k", "single_transformer_blocks.1.proj_mlp", "norm_out.linear"]:
        stem = f"transformer.{layer}"
        a, b = low(form.shape(layer), 4)
        a, b = form.put(f"{stem}.lora_A.weight", a), form.put(f"{stem}.lora_B.weight", b)
        norm = form.own[f"{layer}.weight"].norm(dim=1)
        magnitude = form.put(f"{stem}.lora_magnitude_vector", norm * (1 + randn(*norm.shape, size=0.2)))
        decomposed(form, layer, stem, a, b, 1.0, magnitude, 1)
    return form


def full():
    """All of a layer's change, and of its bias; PEFT's bias of B."""
    form = Form(BFL)
    for layer in ["img_in", "double_blocks.0.txt_attn.proj"]:
        size = 0.3 * form.shape(layer)[1] ** -0.5
        form.add(layer, form.put(f"diffusion_model.{layer}.diff", randn(*form.shape(layer), size=size), torch.float16))
        bias = randn(form.shape(layer)[0], size=0.1)
        form.add(layer, form.put(f"diffusion_model.{layer}.diff_b", bias, torch.float16), kind="bias")
    layer = "single_blocks.0.linear2"
    low_rank(form, layer, f"diffusion_model.{layer}", 4, 8, PEFT, torch.float16)
    bias = form.put(f"diffusion_model.{layer}.lora_B.bias", randn(256, size=0.1), torch.float16)
    form.add(layer, 8 / 4 * bias, kind="bias")
    return form


FORMS = {
    "kohya": kohya,
    "kohya-fp8": kohya_fp8,
    "comfy": comfy,
    "onetrainer": one_trainer,
    "peft": peft,
    "peft-configured": peft_configured,
    "diffusers-old": old_diffusers,
    "xlabs": xlabs,
    "loha": loha,
    "lokr": lokr,
    "lycoris": lycoris,
    "dora": dora,
    "peft-dora": peft_dora,
    "full": full,
}
# Its converter of kohya's names has the widths of FLUX.1 in it.
BY_DIFFUSERS = ["peft", "peft-configured", "xlabs", "peft-dora"]


def model_of(weights):
    model = FluxTransformer2DModel(**CONFIG).eval()
    named = weights if "x_embedder.weight" in weights else diffusers_transformer(dict(weights), CONFIG)
    model.load_state_dict(named)
    return model


def velocity(model, inputs):
    with torch.no_grad():
        return model(
            hidden_states=inputs["noise"][None],
            encoder_hidden_states=inputs["text"][None],
            pooled_projections=inputs["pooled"],
            timestep=torch.tensor([0.7]),
            guidance=torch.tensor([3.0]),
            img_ids=position_ids(4, 4),
            txt_ids=torch.zeros(8, 3),
            return_dict=False,
        )[0][0]


def check_with_diffusers(name, form, inputs):
    """That diffusers' own loader gives the same at strength 1, as far as it knows the form."""
    from diffusers.loaders import FluxLoraLoaderMixin

    state = FluxLoraLoaderMixin.lora_state_dict(
        OUT / f"{name}.safetensors", return_alphas=True, return_lora_metadata=True
    )
    tensors, alphas, metadata = state
    model = model_of(form.own)
    model.load_lora_adapter(tensors, network_alphas=alphas, metadata=metadata, prefix="transformer")
    theirs = velocity(model, inputs)
    whole = {
        key: form.own[key] + (form.merged[key] - form.own[key]) / STRENGTH for key in form.own
    }
    ours = velocity(model_of(whole), inputs)
    error = ((ours - theirs).norm() / theirs.norm()).item()
    print(f"  {name}: diffusers' own loader differs by {error:.1e}")
    assert error < 1e-4, name


def write_text(inputs, results):
    """Both encoders: kohya's names for CLIP and T5, and PEFT's for CLIP."""
    clip, t5 = load_clip(), load_t5()
    files = {"text-kohya": {}, "text-peft": {}}
    ids = {"clip_ids": torch.randint(1, 2000, (1, 77), generator=generator), "t5_ids": torch.randint(3, 3000, (1, 32), generator=generator)}
    ids["clip_ids"][0, 0], ids["clip_ids"][0, 20:] = 2046, 2047
    with torch.no_grad():
        for model, key in [(clip, "clip_ids"), (t5, "t5_ids")]:
            model(ids[key])

        def change(model, layer, stem, names, file, alpha):
            module = model.get_submodule(layer)
            a, b = low(tuple(module.weight.shape), 4)
            file[f"{stem}.{names[0]}"], file[f"{stem}.{names[1]}"] = a, b
            if alpha is not None:
                file[f"{stem}.alpha"] = torch.tensor(float(alpha))
            module.weight += STRENGTH * (1.0 if alpha is None else alpha / 4) * (b @ a)

        base = "" if "encoder.layers.0.mlp.fc1.weight" in clip.state_dict() else "text_model."
        for layer in ["encoder.layers.0.self_attn.q_proj", "encoder.layers.2.mlp.fc1"]:
            stem = f"lora_te1_text_model_{layer.replace('.', '_')}"
            change(clip, base + layer, stem, KOHYA, files["text-kohya"], 2)
        for layer in ["encoder.block.0.layer.0.SelfAttention.v", "encoder.block.3.layer.1.DenseReluDense.wo"]:
            change(t5, layer, f"lora_te3_{layer.replace('.', '_')}", KOHYA, files["text-kohya"], 2)
        layer = "encoder.layers.1.self_attn.out_proj"
        change(clip, base + layer, f"text_encoder.text_model.{layer}", PEFT, files["text-peft"], None)
        hidden = clip(ids["clip_ids"]).last_hidden_state[0]
        results["text.clip"] = hidden[20][None]
        results["text.t5"] = t5(ids["t5_ids"]).last_hidden_state[0]
    for name, file in files.items():
        save_file({key: value.contiguous() for key, value in file.items()}, OUT / f"{name}.safetensors")
    inputs.update({key: value.to(torch.int32) for key, value in ids.items()})


def main():
    OUT.mkdir(exist_ok=True)
    inputs = {"noise": randn(16, 64), "text": randn(8, 128), "pooled": randn(1, 128)}
    results = {"none": velocity(model_of(BFL), inputs)}
    cases = {}
    for name, make in FORMS.items():
        form = make()
        save_file(form.file, OUT / f"{name}.safetensors", metadata=form.metadata)
        results[name] = velocity(model_of(form.merged), inputs)
        moved = ((results[name] - results["none"]).norm() / results["none"].norm()).item()
        assert moved > 0.02, f"{name} changes next to nothing: {moved}"
        cases[name] = {"tensors": len(form.file), "unused": form.unused, "moved": round(moved, 3)}
        if name in BY_DIFFUSERS:
            check_with_diffusers(name, form, inputs)
    write_text(inputs, results)
    save_file({key: value.contiguous() for key, value in (inputs | results).items()}, OUT / "velocities.safetensors")
    (OUT / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
