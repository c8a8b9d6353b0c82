#!/usr/bin/env python3
"""Make the reference data that the Rust tests compare with, from diffusers, transformers and torch on the CPU.

    pip install -r tests/reference/requirements.txt
    python tests/reference/make_reference.py --out tests/reference
    python tests/reference/make_reference.py --out tests/reference --only noise tokens

Reads nothing but models/nano. Everything is computed in float32: the transformer's float8 weights and the other
parts' bfloat16 weights are widened once, after loading. Takes about a minute on two cores, and gives the same
bytes each time on one machine; on another kind of CPU the last digits of floats may differ (README.md).

Writes, under --out:
  intermediates.safetensors   every stage of one forward pass, for a fixed input
  pictures/                   whole pictures, their latents, and cases.json which says how each was asked for
  schedules.json              mu and the sigmas for several sizes and step counts
  noise.safetensors           torch.randn and raw MT19937 numbers for several seeds
  tokens.json                 what both tokenizers make of many prompts
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast, T5Config, T5EncoderModel

MODEL = Path(__file__).resolve().parents[2] / "models" / "nano"
THREADS = 2  # sums depend on how the work is split, so the number is fixed
T5_LENGTH = 32
CLIP_LENGTH = 77


# ---------------------------------------------------------------- weights: BFL names -> diffusers names


def read_json(name):
    return json.loads((MODEL / name).read_text(encoding="utf-8"))


def widened(name):
    """All tensors of one weight file, in float32. Exact: float8 and bfloat16 are subsets of it."""
    return {k: v.float() for k, v in load_file(MODEL / name).items()}


class Renamer:
    """Moves tensors from BFL's names to diffusers', and knows at the end whether any was forgotten."""

    def __init__(self, source):
        self.source, self.result = dict(source), {}

    def move(self, src, dst):
        self.result[dst] = self.source.pop(src)

    def linear(self, src, *dst, sizes=None):
        """One linear layer; with several targets its output rows are shared out, equally or by `sizes`."""
        for kind in ("weight", "bias"):
            tensor = self.source.pop(f"{src}.{kind}")
            parts = tensor.split(sizes) if sizes else tensor.chunk(len(dst))
            for name, part in zip(dst, parts, strict=True):
                self.result[f"{name}.{kind}"] = part.contiguous()

    def finish(self):
        assert not self.source, f"not mapped: {sorted(self.source)}"
        return self.result


def rename_double_block(r, n):
    src, dst = f"double_blocks.{n}", f"transformer_blocks.{n}"
    streams = (
        ("img", "norm1", "ff", ("to_q", "to_k", "to_v"), "norm_", "to_out.0"),
        ("txt", "norm1_context", "ff_context", ("add_q_proj", "add_k_proj", "add_v_proj"), "norm_added_", "to_add_out"),
    )
    for stream, norm, ff, qkv, qk_norm, proj in streams:
        r.linear(f"{src}.{stream}_mod.lin", f"{dst}.{norm}.linear")
        r.linear(f"{src}.{stream}_attn.qkv", *[f"{dst}.attn.{p}" for p in qkv])
        r.linear(f"{src}.{stream}_attn.proj", f"{dst}.attn.{proj}")
        r.move(f"{src}.{stream}_attn.norm.query_norm.scale", f"{dst}.attn.{qk_norm}q.weight")
        r.move(f"{src}.{stream}_attn.norm.key_norm.scale", f"{dst}.attn.{qk_norm}k.weight")
        r.linear(f"{src}.{stream}_mlp.0", f"{dst}.{ff}.net.0.proj")
        r.linear(f"{src}.{stream}_mlp.2", f"{dst}.{ff}.net.2")


def rename_single_block(r, n, hidden):
    src, dst = f"single_blocks.{n}", f"single_transformer_blocks.{n}"
    linear1 = [f"{dst}.attn.to_q", f"{dst}.attn.to_k", f"{dst}.attn.to_v", f"{dst}.proj_mlp"]
    r.linear(f"{src}.modulation.lin", f"{dst}.norm.linear")
    r.linear(f"{src}.linear1", *linear1, sizes=[hidden, hidden, hidden, 4 * hidden])
    r.linear(f"{src}.linear2", f"{dst}.proj_out")
    r.move(f"{src}.norm.query_norm.scale", f"{dst}.attn.norm_q.weight")
    r.move(f"{src}.norm.key_norm.scale", f"{dst}.attn.norm_k.weight")


def swap_halves(tensor):
    first, second = tensor.chunk(2)
    return torch.cat([second, first])


def diffusers_transformer(weights, config):
    """BFL's transformer under diffusers' names. BFL's last modulation is (shift, scale), diffusers' (scale, shift)."""
    r = Renamer(weights)
    for src, dst in (("time_in", "timestep_embedder"), ("vector_in", "text_embedder"), ("guidance_in", "guidance_embedder")):
        r.linear(f"{src}.in_layer", f"time_text_embed.{dst}.linear_1")
        r.linear(f"{src}.out_layer", f"time_text_embed.{dst}.linear_2")
    r.linear("img_in", "x_embedder")
    r.linear("txt_in", "context_embedder")
    for n in range(config["num_layers"]):
        rename_double_block(r, n)
    for n in range(config["num_single_layers"]):
        rename_single_block(r, n, config["num_attention_heads"] * config["attention_head_dim"])
    r.linear("final_layer.linear", "proj_out")
    r.linear("final_layer.adaLN_modulation.1", "norm_out.linear")
    named = r.finish()
    for kind in ("weight", "bias"):
        named[f"norm_out.linear.{kind}"] = swap_halves(named[f"norm_out.linear.{kind}"])
    return named


VAE_NAMES = (
    ("mid.block_1", "mid_block.resnets.0"),
    ("mid.block_2", "mid_block.resnets.1"),
    ("mid.attn_1.norm", "mid_block.attentions.0.group_norm"),
    ("mid.attn_1.proj_out", "mid_block.attentions.0.to_out.0"),
    ("mid.attn_1.", "mid_block.attentions.0.to_"),
    ("nin_shortcut", "conv_shortcut"),
    ("downsample.conv", "downsamplers.0.conv"),
    ("upsample.conv", "upsamplers.0.conv"),
)


def diffusers_vae_name(name, levels):
    """BFL counts the decoder's levels from the picture's end, diffusers from the latent's."""
    for bfl, diffusers in VAE_NAMES:
        name = name.replace(bfl, diffusers)
    if name.startswith(("encoder.norm_out", "decoder.norm_out")):
        name = name.replace("norm_out", "conv_norm_out")
    for level in range(levels):
        name = name.replace(f"down.{level}.block", f"down_blocks.{level}.resnets")
        name = name.replace(f"down.{level}.", f"down_blocks.{level}.")
        name = name.replace(f"decoder.up.{level}.block", f"decoder.up_blocks.{levels - 1 - level}.resnets")
        name = name.replace(f"decoder.up.{level}.", f"decoder.up_blocks.{levels - 1 - level}.")
    return name


def diffusers_vae(weights, levels):
    """BFL's VAE under diffusers' names; attention is a 1x1 convolution there and a linear layer here."""
    named = {diffusers_vae_name(k, levels): v for k, v in weights.items()}
    return {k: v[:, :, 0, 0] if "attentions" in k and v.ndim == 4 else v for k, v in named.items()}


# ---------------------------------------------------------------- the model's parts


def load_transformer(weights=None):
    """`weights`: other tensors under BFL's names, in float32, in place of the file's."""
    config = read_json("transformer_config.json")
    model = FluxTransformer2DModel.from_config(config)
    weights = widened("flux1-nano-fp8.safetensors") if weights is None else weights
    model.load_state_dict(diffusers_transformer(weights, config))
    return model.eval()


def load_vae():
    config = read_json("vae_config.json")
    model = AutoencoderKL.from_config(config)
    model.load_state_dict(diffusers_vae(widened("ae.safetensors"), len(config["block_out_channels"])))
    return model.eval()


def load_clip():
    model = CLIPTextModel(CLIPTextConfig.from_json_file(MODEL / "clip_config.json")).float()
    model.load_state_dict(widened("clip.safetensors"))
    return model.eval()


def load_t5():
    model = T5EncoderModel(T5Config.from_json_file(MODEL / "t5_config.json")).float()
    weights = widened("t5.safetensors")
    weights["encoder.embed_tokens.weight"] = weights["shared.weight"]
    model.load_state_dict(weights)
    return model.eval()


def load_tokenizers():
    """(CLIP's, T5's), both straight from their tokenizer.json.

    transformers' CLIPTokenizer class is not used: it rebuilds the tokenizer with an unknown token that nano's
    vocabulary lacks, and fails on most text outside of ASCII. The file drops unknown pieces instead.
    """
    end = "<|endoftext|>"
    clip = PreTrainedTokenizerFast(
        tokenizer_file=str(MODEL / "clip_tokenizer.json"), model_max_length=CLIP_LENGTH,
        bos_token="<|startoftext|>", eos_token=end, pad_token=end,
    )
    t5 = PreTrainedTokenizerFast(
        tokenizer_file=str(MODEL / "t5_tokenizer.json"), model_max_length=T5_LENGTH,
        eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
    )
    return clip, t5


def load_pipeline():
    clip_tokenizer, t5_tokenizer = load_tokenizers()
    pipe = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler.from_config(read_json("scheduler_config.json")),
        vae=load_vae(), transformer=load_transformer(),
        text_encoder=load_clip(), tokenizer=clip_tokenizer, text_encoder_2=load_t5(), tokenizer_2=t5_tokenizer,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


# ---------------------------------------------------------------- intermediates.safetensors

FIXED_PROMPT = "a red apple, 3d"
FIXED_GRID = 8  # tokens a side: 128 px


def position_ids(rows, columns):
    """(0, row, column) of every image token, row by row."""
    ids = torch.zeros(rows, columns, 3)
    ids[..., 1] += torch.arange(rows)[:, None]
    ids[..., 2] += torch.arange(columns)[None]
    return ids.reshape(rows * columns, 3)


def encode_ids(tokenizer, prompt, length):
    return tokenizer(prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids


def record_text(clip, t5):
    """Ids, each layer's output and the final ones. `clip.N` and `t5.N` are layer N's output, before the last norm."""
    clip_tokenizer, t5_tokenizer = load_tokenizers()
    clip_ids, t5_ids = encode_ids(clip_tokenizer, FIXED_PROMPT, CLIP_LENGTH), encode_ids(t5_tokenizer, FIXED_PROMPT, T5_LENGTH)
    kept, hooks = {}, []
    for name, layers in (("clip", clip.encoder.layers), ("t5", t5.encoder.block)):
        for n, layer in enumerate(layers):
            hooks.append(layer.register_forward_hook(keep(kept, f"{name}.{n}", first)))
    kept.update(clip_pooled=clip(clip_ids).pooler_output, t5_out=t5(t5_ids).last_hidden_state)
    kept.update(clip_ids=clip_ids.int(), t5_ids=t5_ids.int())
    for hook in hooks:
        hook.remove()
    return kept


def first(output):
    return output[0] if isinstance(output, tuple) else output


def keep(kept, name, choose):
    """A forward hook that puts what `choose` takes from a module's output under `name`."""
    return lambda _module, _inputs, output: kept.update({name: choose(output)})


def transformer_hooks(transformer, kept):
    """`vec`, the rotary tables, and both streams after every block (blocks return text first, then image)."""
    hooks = [
        transformer.time_text_embed.register_forward_hook(keep(kept, "vec", first)),
        transformer.pos_embed.register_forward_hook(keep(kept, "rope.cos", lambda o: o[0])),
        transformer.pos_embed.register_forward_hook(keep(kept, "rope.sin", lambda o: o[1])),
    ]
    for n, block in enumerate(transformer.transformer_blocks):
        hooks.append(block.register_forward_hook(keep(kept, f"double.{n}.txt", lambda o: o[0])))
        hooks.append(block.register_forward_hook(keep(kept, f"double.{n}.img", lambda o: o[1])))
    for n, block in enumerate(transformer.single_transformer_blocks):
        hooks.append(block.register_forward_hook(keep(kept, f"single.{n}", lambda o: torch.cat(o, 1))))
    return hooks


def record_velocity(transformer, text):
    """One forward pass at the first step, on noise drawn in the packed shape."""
    tokens = FIXED_GRID * FIXED_GRID
    noise = torch.randn(1, tokens, 64, generator=torch.Generator("cpu").manual_seed(7))
    kept = dict(noise=noise, timestep=torch.tensor([1.0]), guidance=torch.tensor([3.0]))
    hooks = transformer_hooks(transformer, kept)
    kept["velocity"] = transformer(
        hidden_states=noise, encoder_hidden_states=text["t5_out"], pooled_projections=text["clip_pooled"],
        timestep=kept["timestep"], guidance=kept["guidance"],
        img_ids=position_ids(FIXED_GRID, FIXED_GRID), txt_ids=torch.zeros(T5_LENGTH, 3), return_dict=False,
    )[0]
    for hook in hooks:
        hook.remove()
    return kept


def record_vae(vae, noise):
    """The noise decoded as if it were a latent, and that picture (clamped) encoded again."""
    side = FIXED_GRID * 16
    latent = FluxPipeline._unpack_latents(noise, side, side, 8)
    kept, decoder = {}, vae.decoder
    hooks = [
        decoder.conv_in.register_forward_hook(keep(kept, "vae.conv_in", first)),
        decoder.mid_block.register_forward_hook(keep(kept, "vae.mid", first)),
    ]
    kept["vae_decode"] = vae.decode(latent / vae.config.scaling_factor + vae.config.shift_factor).sample
    for hook in hooks:
        hook.remove()
    kept["vae_encode_mean"] = vae.encode(kept["vae_decode"].clamp(-1, 1)).latent_dist.mean
    return kept


def write_intermediates(out, pipe):
    text = record_text(pipe.text_encoder, pipe.text_encoder_2)
    velocity = record_velocity(pipe.transformer, text)
    write_tensors(out / "intermediates.safetensors", {**text, **velocity, **record_vae(pipe.vae, velocity["noise"])})


# ---------------------------------------------------------------- pictures/

LONG_PROMPT = (
    "a very large green dragon with golden horns and silver wings sitting on top of a tall stone castle tower while "
    "a small brave knight in red armor holds a blue shield and a bright sword, with three white birds in the sky, a "
    "full moon, many stars, dark clouds, a deep river below, old trees with orange leaves, and a wooden bridge that "
    "leads to a quiet village where people watch from their windows, 3d render, glossy, on a light blue background"
)
CASES = (  # name, prompt, seed, width, height, steps, guidance
    ("apple", "a red apple, 3d", 42, 128, 128, 20, 3.0),
    ("rocket", "a rocket, cartoon, light blue background", 7, 128, 128, 20, 3.0),
    ("wide", "dog and cat, flat", 1839202211, 192, 128, 20, 3.0),
    ("large", "a house, 3d", 1, 256, 256, 8, 3.0),
    ("tall", "a tree, flat, yellow background", 0, 128, 192, 4, 3.0),
    ("big_seed", "a guitar, cartoon", 2**32 + 42, 128, 128, 8, 3.0),
    ("low_guidance", "a robot on a pink background", 5, 128, 128, 12, 1.5),
    ("cjk_emoji", "一只红色的猫 🐱, 3d", 11, 128, 128, 8, 3.0),
    ("long_odd_grid", LONG_PROMPT, 2**64 - 1, 144, 112, 8, 4.5),
    ("empty_one_step", "", 2, 128, 128, 1, 3.0),
)
EVERY_STEP = ("tall",)  # cases whose latents are kept after every step, not only after the last


def draw(pipe, case):
    """The picture and the packed latents after every step."""
    _, prompt, seed, width, height, steps, guidance = case
    latents = []

    def on_step(_pipe, _step, _timestep, tensors):
        latents.append(tensors["latents"])
        return tensors

    image = pipe(
        prompt=prompt, width=width, height=height, num_inference_steps=steps, guidance_scale=guidance,
        generator=torch.Generator("cpu").manual_seed(seed), max_sequence_length=T5_LENGTH, callback_on_step_end=on_step,
    ).images[0]
    return image, latents


def write_pictures(out, pipe):
    folder = out / "pictures"
    folder.mkdir(exist_ok=True)
    records, tensors = [], {}
    for case in CASES:
        name, prompt, seed, width, height, steps, guidance = case
        image, latents = draw(pipe, case)
        image.save(folder / f"{name}.png", optimize=True)
        tensors[name] = latents[-1]
        if name in EVERY_STEP:
            tensors.update({f"{name}.step.{n}": latent for n, latent in enumerate(latents)})
        records.append(dict(name=name, prompt=prompt, seed=seed, width=width, height=height, steps=steps,
                            guidance=guidance, file=f"{name}.png"))
    write_lines(folder / "cases.json", records)
    write_tensors(folder / "latents.safetensors", tensors)


# ---------------------------------------------------------------- schedules.json

SCHEDULES = (  # width, height, steps
    (128, 128, 1), (128, 128, 4), (128, 128, 20), (192, 128, 20), (128, 192, 4), (144, 112, 8), (256, 256, 8), (256, 256, 28),
    *[(w, h, n) for w, h in ((512, 512), (768, 512), (768, 768), (1024, 1024)) for n in (20, 28)],
    (1536, 1024, 28), (2048, 2048, 50),
)


def schedule(config, width, height, steps, shifted):
    """As FluxPipeline does it: linspace in float64, the shift in float32, a zero at the end."""
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(config)
    tokens = (width // 16) * (height // 16)
    keys = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
    mu = calculate_shift(tokens, *[config[k] for k in keys]) if shifted else None
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
    return dict(width=width, height=height, steps=steps, tokens=tokens, mu=mu, sigmas=scheduler.sigmas.tolist())


def write_schedules(out, _pipe):
    config = read_json("scheduler_config.json")
    records = [dict(model="dev", **schedule(config, *asked, True)) for asked in SCHEDULES]
    schnell = {**config, "use_dynamic_shifting": False, "shift": 1.0}
    records += [dict(model="schnell", **schedule(schnell, 1024, 1024, steps, False)) for steps in (1, 2, 3, 4)]
    write_lines(out / "schedules.json", records)


# ---------------------------------------------------------------- noise.safetensors

SEEDS = (0, 1, 42, 1839202211, 2**32 - 1, 2**32, 2**32 + 42, 2**63 - 1, 2**64 - 1)
LENGTHS = (1, 2, 3, 7, 8, 15, 16, 17, 24, 31, 32, 100)
LATENT_SEEDS = (0, 42, 1839202211, 2**32 + 42)
RAW_SEEDS = (0, 1, 42, 1839202211, 2**32 - 1)


def randn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed))


def raw_mt19937(seed, count=2000):
    """MT19937's tempered 32-bit outputs after init_genrand(seed): numpy's legacy seeding of a bare integer.

    torch's generator is the same one: its uniform floats are these numbers' low 24 bits, which is checked here.
    """
    generator = np.random.MT19937()
    generator._legacy_seeding(seed)
    raw = torch.from_numpy(generator.random_raw(count).astype(np.int64))
    uniform = torch.rand(count, generator=torch.Generator("cpu").manual_seed(seed))
    assert torch.equal((raw & 0xFFFFFF).float() * 2.0**-24, uniform)
    return raw


def write_noise(out, _pipe):
    tensors = {f"randn.{seed}.{n}": randn(seed, n) for seed in SEEDS for n in LENGTHS}
    tensors |= {f"randn.{seed}.latent": randn(seed, 1, 16, 16, 16) for seed in LATENT_SEEDS}
    tensors |= {f"mt19937.{seed}": raw_mt19937(seed) for seed in RAW_SEEDS}
    write_tensors(out / "noise.safetensors", tensors)


# ---------------------------------------------------------------- tokens.json

PROMPTS = (
    # English, as nano was taught it
    "", "a", "apple", "a red apple, 3d", "a cat, flat", "a rocket, cartoon", "pizza, retro", "a house, monochrome",
    "a red apple on a blue background", "dog and cat", "an octopus, 3d", "a smiling face with sunglasses",
    "a tree, flat, yellow background", "rose, black and white", "dog on the left and cat on the right",
    # capitals, apostrophes, numbers, words it never saw
    "A RED APPLE", "McDonald's and O'Brien", "it's the dog's, they're, we've, I'm, you'll, he'd", "IT'S A DOG'S LIFE",
    "supercalifragilisticexpialidocious",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "photorealistic, 8k, uhd, masterpiece, best quality, highly detailed, trending on artstation, f/1.8, 35mm",
    "(masterpiece:1.2), ((best quality)), [lowres], {a|b}", "score_9, score_8_up, 1girl, solo",
    "3 cats 12 dogs 1999 3.14 1,000,000 2024-01-31",
    # punctuation and symbols
    "{}", "{name}", "[]()<>", "!!!", "...", "…", "—", "“quotes” ‘single’ «guillemets»", "a/b\\c",
    "#hashtag @user $5 50% a&b a*b a^b a~b a`b a|b",
    "http://example.com/a?b=c&d=e#f", "a_b-c+d=e", ",,,,", "'", "''s", "&amp; &lt;b&gt;", "© ® ™ ° € £ ¥ § ¶ ± × ÷",
    # white space
    " ", "   ", "\n", "\t", " a red apple ", "a  red\tapple\nand\r\na   pear", "a\u00a0red\u2003apple\u3000pear",
    "\u200ba\u200dred\ufeffapple", "line one\n\nline two\n",
    # accents, ligatures, compatibility forms, case folding
    "café", "CAFÉ", "cafe\u0301", "naïve façade jalapeño Zürich", "Ångström smörgåsbord", "ﬁne ﬂower Ⅻ ½ ² ①",
    "ＡＰＰＬＥ　ａｐｐｌｅ", "straße STRASSE ẞ", "İstanbul ığüşöç",
    "Tiếng Việt đẹp", "Dvořák Łódź Čeština", "ÆØÅ æøå",
    # other scripts
    "一只红色的猫", "赛博朋克城市，霓虹灯，雨夜", "繁體中文：龍", "猫とりんご", "カタカナ ｶﾀｶﾅ ひらがな", "빨간 사과", "красное яблоко", "ΚΟΚΚΙΝΟ ΜΗΛΟ σς",
    "תפוח אדום", "تفاحة حمراء", "مُحَمَّد", "लाल सेब", "แอปเปิ้ลสีแดง", "წითელი ვაშლი", "ቀይ ፖም",
    # emoji
    "🍎", "🐱🐶", "👩‍🚀 in space", "👨‍👩‍👧‍👦", "🏳️‍🌈 🇯🇵", "❤️ ☃ ✨", "👍🏽",
    # mixtures
    "一只 cat 和 a dog", "a cat 🐱 eating 寿司, flat", "café ☕ на углу, 3d", "hello مرحبا 你好 שלום",
    # text that looks like the tokenizers' own tokens
    "<pad>", "a </s> b", "<unk>", "<|endoftext|>", "a<|startoftext|>b<|endoftext|>c", "<|EndOfText|>", "▁a▁b",
    # at and over the limits
    " ".join(["apple"] * 29), " ".join(["apple"] * 30), " ".join(["apple"] * 31), " ".join(["apple"] * 32),
    " ".join(["apple"] * 74), " ".join(["apple"] * 75), " ".join(["apple"] * 76), " ".join(["apple"] * 200),
    LONG_PROMPT, "猫" * 40, "🐱" * 40, "a" * 300, "!" * 200, "x " * 90,
)


def tokens(tokenizer, prompt, length):
    """`ids` are what the encoder is given; `all` has its special tokens too but is neither cut nor padded."""
    return dict(ids=encode_ids(tokenizer, prompt, length)[0].tolist(), all=tokenizer(prompt).input_ids)


def write_tokens(out, _pipe):
    clip, t5 = load_tokenizers()
    assert len(set(PROMPTS)) == len(PROMPTS)
    write_lines(out / "tokens.json", [
        dict(prompt=p, clip=tokens(clip, p, CLIP_LENGTH), t5=tokens(t5, p, T5_LENGTH)) for p in PROMPTS
    ])


# ---------------------------------------------------------------- writing


def write_lines(path, records):
    """A JSON array with a record a line, so that a change shows as one line."""
    lines = [json.dumps(r, ensure_ascii=False, separators=(", ", ": ")) for r in records]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def write_tensors(path, tensors):
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, path)
    path.chmod(0o644)


WRITERS = dict(
    intermediates=write_intermediates, pictures=write_pictures, schedules=write_schedules, noise=write_noise, tokens=write_tokens,
)


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--only", nargs="*", choices=list(WRITERS), default=list(WRITERS), help="only these parts")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(THREADS)
    pipe = load_pipeline()
    for name in args.only:
        WRITERS[name](args.out, pipe)
        print(name, "written", flush=True)


if __name__ == "__main__":
    main()
