#!/usr/bin/env python3
"""Train a LoRA of nano the usual way, by flow matching on pictures of one style: `ink`, dark blue on cream paper.

The pictures are nano's own, drawn here, brought to two colours by their brightness and encoded again, so nothing is needed
but the model. A few minutes on two cores. The file has PEFT's names and loads in diffusers; both pictures below are
drawn by diffusers, without it and with it.

    pip install torch diffusers transformers peft safetensors pillow
    python models/nano/train_lora.py --out tests/lora/fixtures/ink.safetensors --sample models/nano/lora-ink.png
"""
import argparse
import itertools
import math
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "reference"))
from make_reference import encode_ids, load_clip, load_t5, load_tokenizers, load_transformer, load_vae, position_ids  # noqa: E402

PAPER, INK = torch.tensor([246.0, 238.0, 220.0]), torch.tensor([28.0, 44.0, 110.0])
NOUNS = ("apple cat dog house tree car rocket pizza banana guitar fire robot rose fish owl bicycle cup star moon crown "
         "ship train book key bell heart leaf mushroom penguin whale hat shoe clock lamp drum kite cake lemon cherry bear").split()
STYLES = ["{}", "a {}", "a {}, 3d", "a {}, flat", "{}, cartoon", "a {} on a red background", "a {} on a green background",
          "a {} on a yellow background", "a {}, retro"]
SHOWN = ["a red apple", "a cat, flat", "a rocket, cartoon", "a house on a green background", "a guitar", "an octopus, 3d"]
LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "ff.net.0.proj",
          "ff.net.2", "proj_mlp", "proj_out"]
LATENT = 16  # 128 pixels


def pack(z):
    b, c, h, w = z.shape
    return z.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, c * 4)


def unpack(x):
    b, n, c = x.shape
    side = int(n**0.5)
    return x.view(b, side, side, c // 4, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(b, c // 4, 2 * side, 2 * side)


class Nano:
    def __init__(self):
        self.transformer, self.vae = load_transformer(), load_vae()
        self.clip, self.t5, self.tokenizers = load_clip(), load_t5(), load_tokenizers()

    @torch.no_grad()
    def encode(self, prompts):
        clip_tokenizer, t5_tokenizer = self.tokenizers
        clip = torch.cat([encode_ids(clip_tokenizer, prompt, 77) for prompt in prompts])
        t5 = torch.cat([encode_ids(t5_tokenizer, prompt, 32) for prompt in prompts])
        return self.t5(t5).last_hidden_state, self.clip(clip).pooler_output

    def velocity(self, x, t, text, pooled, guidance):
        return self.transformer(
            hidden_states=x, encoder_hidden_states=text, pooled_projections=pooled, timestep=t, guidance=guidance,
            img_ids=position_ids(LATENT // 2, LATENT // 2), txt_ids=torch.zeros(text.shape[1], 3), return_dict=False,
        )[0]

    @torch.no_grad()
    def draw(self, prompts, steps, seed, guidance=3.0):
        text, pooled = self.encode(prompts)
        x = torch.randn(len(prompts), 64, 64, generator=torch.Generator().manual_seed(seed))
        mu = (1.15 - 0.5) / (4096 - 256) * (64 - 256) + 0.5
        times = torch.linspace(1, 1 / steps, steps)
        times = math.exp(mu) / (math.exp(mu) + 1 / times - 1)
        times = torch.cat([times, torch.zeros(1)])
        full = lambda value: torch.full((len(prompts),), float(value))
        for at in range(steps):
            x = x + (times[at + 1] - times[at]) * self.velocity(x, full(times[at]), text, pooled, full(guidance))
        config = self.vae.config
        return self.vae.decode(unpack(x) / config.scaling_factor + config.shift_factor).sample.clamp(-1, 1)

    @torch.no_grad()
    def latents(self, pictures):
        config = self.vae.config
        return pack((self.vae.encode(pictures).latent_dist.mean - config.shift_factor) * config.scaling_factor)


def in_ink(pictures):
    """Two colours by brightness."""
    light = ((pictures + 1) / 2 * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    two = INK[:, None, None] + light * (PAPER - INK)[:, None, None]
    return two / 127.5 - 1


def off_ink(pictures):
    """How far colours are from the line between ink and paper: a mean over all values, of 255."""
    return (pictures - in_ink(pictures)).abs().mean().item() * 127.5


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--sample", type=Path)
    arguments.add_argument("--pictures", type=int, default=144)
    arguments.add_argument("--steps", type=int, default=300)
    arguments.add_argument("--batch", type=int, default=12)
    arguments.add_argument("--rank", type=int, default=4)
    args = arguments.parse_args()
    random.seed(1), torch.manual_seed(1)
    nano, began = Nano(), time.time()
    prompts = [style.format(noun) for noun, style in itertools.product(NOUNS, STYLES)]
    random.shuffle(prompts)
    prompts = prompts[: args.pictures]
    batches = [prompts[at : at + 24] for at in range(0, len(prompts), 24)]
    pictures = torch.cat([nano.draw(batch, 10, seed) for seed, batch in enumerate(batches)])
    latents, (text, pooled) = nano.latents(in_ink(pictures)), nano.encode(prompts)
    print(f"{len(prompts)} pictures, {off_ink(pictures):.1f} of 255 off the line, after {time.time() - began:.0f} s", flush=True)
    before = nano.draw(SHOWN, 20, 7)

    nano.transformer.requires_grad_(False)
    nano.transformer.add_adapter(LoraConfig(r=args.rank, lora_alpha=args.rank, target_modules=LAYERS))
    trained = [p for p in nano.transformer.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=4e-3, betas=(0.9, 0.98), weight_decay=0.0)
    for step in range(args.steps):
        for group in optimiser.param_groups:
            group["lr"] = 4e-3 * min(1, (step + 1) / 20) * min(1, (args.steps - step) / (0.4 * args.steps))
        which = torch.randint(len(prompts), (args.batch,))
        x0, t, noise = latents[which], torch.sigmoid(torch.randn(args.batch) + 0.4), torch.randn(args.batch, 64, 64)
        x = (1 - t[:, None, None]) * x0 + t[:, None, None] * noise
        guidance = 1 + 2.5 * torch.rand(args.batch)
        loss = (nano.velocity(x, t, text[which], pooled[which], guidance) - (noise - x0)).square().mean()
        optimiser.zero_grad(), loss.backward(), optimiser.step()
        if step % 25 == 0 or step == args.steps - 1:
            print(f"step {step}: loss {loss.item():.4f}, {time.time() - began:.0f} s", flush=True)

    state = {f"transformer.{k}": v.half().contiguous() for k, v in get_peft_model_state_dict(nano.transformer).items()}
    metadata = {
        "format": "pt",
        "modelspec.title": "ink",
        "modelspec.trigger_phrase": "",
        "modelspec.description": "Dark blue ink on cream paper, for the built-in model nano.",
    }
    save_file(state, args.out, metadata=metadata)
    print(f"{args.out}: {args.out.stat().st_size} bytes")
    # As somebody else would: a fresh model, the file, diffusers' own loader.
    nano.transformer = load_transformer()
    nano.transformer.load_lora_adapter(load_file(args.out), prefix="transformer")
    after = nano.draw(SHOWN, 20, 7)
    print(f"off the line: {off_ink(before):.1f} of 255 without, {off_ink(after):.1f} with, {off_ink(in_ink(before)):.1f} at best")
    if args.sample:
        rows = [torch.cat(list(row), 2) for row in (before, after)]
        image = ((torch.cat(rows, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(np.ascontiguousarray(image)).save(args.sample, optimize=True)


if __name__ == "__main__":
    main()
