#!/usr/bin/env python3
"""Fit the linear preview: from a latent's 16 channels straight to red, green and blue, at an eighth of the size.

    pip install -r tests/reference/requirements.txt
    python models/nano/fit_preview.py --data dataset.npz --out models/nano/preview.json [--strip check.png]

dataset.npz comes from build_dataset.py. Pictures are composed as train_nano.py composes them for its VAE, encoded
(the mean, normalised as the sampler's latents are), and fitted by least squares to the same pictures averaged over
8x8 pixels, in [-1, 1]. A tenth of the pictures is held out: "r2" is theirs, not the fit's own.
Takes some minutes on two cores.
"""
import argparse
import io
import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "reference"))
from make_reference import THREADS, load_vae  # noqa: E402

SIDE = 128
BACKGROUNDS = torch.tensor([  # train_nano.py's BG
    (255, 255, 255), (16, 16, 16), (214, 48, 49), (52, 120, 220), (70, 170, 90), (252, 216, 78),
    (245, 150, 55), (250, 170, 200), (140, 90, 200), (150, 150, 150), (170, 215, 245), (120, 80, 55),
]).float()


def read_pictures(path, count, rng):
    """`count` pictures drawn without repetition: premultiplied RGBA, [count, 4, 128, 128]; alpha in 0..1, colour in 0..255."""
    data = np.load(path)
    blob, offsets = data["blob"].tobytes(), data["offsets"]
    chosen = rng.permutation(len(offsets) - 1)[:count]
    decode = lambda i: np.asarray(Image.open(io.BytesIO(blob[offsets[i]:offsets[i + 1]])).convert("RGBA"))
    pixels = torch.from_numpy(np.stack([decode(i) for i in chosen])).permute(0, 3, 1, 2).float()
    alpha = pixels[:, 3:] / 255
    return torch.cat([pixels[:, :3] * alpha, alpha], 1)


def side_by_side(left, right):
    half = lambda x: F.interpolate(x, size=(SIDE // 2, SIDE // 2), mode="bilinear", antialias=True, align_corners=False)
    pair = torch.zeros_like(left)
    rows = slice(SIDE // 4, SIDE // 4 + SIDE // 2)
    pair[:, :, rows, :SIDE // 2], pair[:, :, rows, SIDE // 2:] = half(left), half(right)
    return pair


def compose(pictures, rng):
    """As the trainer's VAE saw them: 15 % are pairs; half on white, half on any of the colours. RGB in [-1, 1]."""
    count = len(pictures)
    pairs = torch.from_numpy(rng.random(count) < 0.15)
    others = pictures[torch.from_numpy(rng.integers(0, count, count))]
    pictures = pictures.clone()
    pictures[pairs] = side_by_side(pictures[pairs], others[pairs])
    colour = np.where(rng.random(count) < 0.5, rng.integers(0, len(BACKGROUNDS), count), 0)
    behind = BACKGROUNDS[torch.from_numpy(colour)][:, :, None, None]
    return (pictures[:, :3] + behind * (1 - pictures[:, 3:])) / 127.5 - 1


def encode(vae, images, batch=32):
    """Latents as the sampler has them: (mean - shift) * scale."""
    means = torch.cat([vae.encode(part).latent_dist.mean for part in images.split(batch)])
    return (means - vae.config.shift_factor) * vae.config.scaling_factor


def rows(x):
    """[N, C, H, W] -> [N*H*W, C], in float64."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).double()


def fit(latents, small):
    """The 3x16 weight and the bias of three that are best in the least-squares sense."""
    x = rows(latents)
    x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    solution = torch.linalg.lstsq(x, rows(small)).solution.T
    return solution[:, :-1], solution[:, -1]


def project(latents, weight, bias):
    return torch.einsum("oc,nchw->nohw", weight.float(), latents) + bias.float()[:, None, None]


def r_squared(truth, guess):
    truth, guess = rows(truth), rows(guess)
    return (1 - ((truth - guess) ** 2).sum() / ((truth - truth.mean(0)) ** 2).sum()).item()


def save_strip(path, images, small, guess, zoom=8):
    """One column a picture: itself, averaged down, projected."""
    enlarge = lambda x: F.interpolate(x, scale_factor=zoom, mode="nearest")
    strip = torch.cat([torch.cat(list(x), 2) for x in (images, enlarge(small), enlarge(guess))], 1)
    pixels = ((strip.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(path)


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="dataset.npz")
    parser.add_argument("--out", type=Path, required=True, help="where to write preview.json")
    parser.add_argument("--strip", type=Path, help="also write a picture to judge the fit by")
    parser.add_argument("--count", type=int, default=4000, help="how many pictures")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    rng = np.random.default_rng(0)
    images = compose(read_pictures(args.data, args.count, rng), rng)
    latents, small = encode(load_vae(), images), F.avg_pool2d(images, 8)
    held = args.count // 10
    weight, bias = fit(latents[held:], small[held:])
    guess = project(latents[:held], weight, bias)
    r2 = r_squared(small[:held], guess)
    digits = lambda x: [round(v, 6) for v in x.tolist()]
    result = dict(weight=[digits(r) for r in weight], bias=digits(bias), r2=round(r2, 4), pictures=args.count, held_out=held)
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in result.items())
    args.out.write_text("{\n" + lines.replace("], [", "],\n  [") + "\n}\n", encoding="utf-8")
    print(f"r2 {r2:.4f}, rmse {((small[:held] - guess) ** 2).mean().sqrt():.4f} of [-1, 1], standard deviation of latents {latents.std():.4f}")
    if args.strip:
        save_strip(args.strip, images[:10], small[:10], guess[:10])


if __name__ == "__main__":
    main()
