#!/usr/bin/env python3
"""How long diffusers takes for a picture of the built-in model on the CPU: the baseline for the Rust engine's times.

    pip install -r tests/reference/requirements.txt
    python benches/peers/diffusers_nano.py [--runs 10] [--threads 2]

Times whole pictures (128x128, 20 steps, guidance 3, float32, the same widened float8 weights as the reference
pictures) and, separately, their parts, after a warm-up. Prints one line of JSON, times in milliseconds: medians,
and the least and the greatest of the whole pictures. Loading the model is not counted.
"""
import argparse
import json
import logging
import statistics
import sys
import time
from pathlib import Path

import diffusers
import torch
from diffusers import FluxPipeline

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "reference"))
from make_reference import T5_LENGTH, load_pipeline  # noqa: E402

PROMPT, SEED, SIDE, STEPS, GUIDANCE = "a red apple, 3d", 42, 128, 20, 3.0


def milliseconds(work, runs, warm=2):
    """The sorted times of `runs` calls."""
    times = []
    for n in range(warm + runs):
        start = time.perf_counter()
        work()
        if n >= warm:
            times.append((time.perf_counter() - start) * 1000)
    return sorted(times)


def draw(pipe, output="pil"):
    return pipe(
        prompt=PROMPT, width=SIDE, height=SIDE, num_inference_steps=STEPS, guidance_scale=GUIDANCE, output_type=output,
        generator=torch.Generator("cpu").manual_seed(SEED), max_sequence_length=T5_LENGTH,
    ).images


def encode(pipe):
    return pipe.encode_prompt(PROMPT, max_sequence_length=T5_LENGTH)


def one_step(pipe, encoded, latents):
    """What FluxPipeline calls the transformer with, once."""
    text, pooled, text_ids = encoded
    tokens = SIDE // 16
    image_ids = pipe._prepare_latent_image_ids(1, tokens, tokens, "cpu", torch.float32)
    pipe.transformer(
        hidden_states=latents, timestep=torch.tensor([0.7]), guidance=torch.tensor([GUIDANCE]), return_dict=False,
        encoder_hidden_states=text, pooled_projections=pooled, txt_ids=text_ids, img_ids=image_ids,
    )


def decode(pipe, latents):
    unpacked = FluxPipeline._unpack_latents(latents, SIDE, SIDE, pipe.vae_scale_factor)
    unpacked = unpacked / pipe.vae.config.scaling_factor + pipe.vae.config.shift_factor
    return pipe.image_processor.postprocess(pipe.vae.decode(unpacked, return_dict=False)[0])


def measure(pipe, runs):
    whole = milliseconds(lambda: draw(pipe), runs)
    encoded, latents = encode(pipe), draw(pipe, output="latent")
    median = lambda times: round(statistics.median(times), 2)
    return dict(
        picture_ms=median(whole), picture_min_ms=round(whole[0], 2), picture_max_ms=round(whole[-1], 2),
        encode_ms=median(milliseconds(lambda: encode(pipe), runs)),
        step_ms=median(milliseconds(lambda: one_step(pipe, encoded, latents), 2 * runs)),
        decode_ms=median(milliseconds(lambda: decode(pipe, latents), runs)),
    )


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=10, help="pictures to take the median of")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logging.disable(logging.WARNING)
    pipe = load_pipeline()
    print(json.dumps(dict(
        engine=f"diffusers {diffusers.__version__}, torch {torch.__version__}", dtype="float32", threads=args.threads,
        runs=args.runs, size=f"{SIDE}x{SIDE}", steps=STEPS, guidance=GUIDANCE, **measure(pipe, args.runs),
    )))


if __name__ == "__main__":
    main()
