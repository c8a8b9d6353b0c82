"""What transformers' T5 and CLIP give for weights of the real widths: one block of T5-XXL, two of CLIP-L.

The weights are too large to be kept, so both sides make them: tensor by tensor from its name, by whole numbers alone, so
that they are the same bits here and in `tests/encoders.rs`. Writes `encoders.safetensors`.
"""

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

WORDS = 96
TOKENS = 6


def seed_of(name: str) -> int:
    """FNV-1a."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def values(name: str, count: int) -> np.ndarray:
    """Uniform in [-1, 1) by splitmix64 of seed + index: 24 bits, exact in fp32."""
    with np.errstate(over="ignore"):
        x = np.uint64(seed_of(name)) + np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)


def fill(model: torch.nn.Module) -> None:
    """Matrices are of about unit gain, scales of norms about one; all rounded to bf16, as files have them."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            made = torch.from_numpy(values(name, parameter.numel())).reshape(parameter.shape)
            if parameter.dim() == 2:
                made = made * 2.0**-6
            elif name.endswith("weight"):
                made = made * 0.25 + 1
            else:
                made = made * 0.125
            parameter.copy_(made.to(torch.bfloat16).float())


t5 = T5EncoderModel(
    T5Config(
        vocab_size=WORDS,
        d_model=4096,
        d_kv=64,
        d_ff=10240,
        num_layers=1,
        num_heads=64,
        feed_forward_proj="gated-gelu",
        layer_norm_epsilon=1e-6,
    )
).eval()
clip = CLIPTextModel(
    CLIPTextConfig(
        vocab_size=WORDS,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=2,
        num_attention_heads=12,
        max_position_embeddings=77,
        hidden_act="quick_gelu",
        eos_token_id=WORDS - 1,
        bos_token_id=WORDS - 2,
    )
).eval()
fill(t5)
fill(clip)
ids = (torch.arange(TOKENS) * 17 % 90).unsqueeze(0)
ended = torch.cat([torch.tensor([[WORDS - 2]]), ids, torch.tensor([[WORDS - 1]])], dim=1)
with torch.no_grad():
    text = t5(ids).last_hidden_state[0]
    pooled = clip(ended).pooler_output[0]
save_file({"t5": text.contiguous(), "clip": pooled.contiguous()}, "tests/reference/encoders.safetensors")
