#!/usr/bin/env python3
"""Pack both tokenizers of FLUX.1 as the program carries them: tokenizer.json, without white space, gzip.

    python models/flux1/pack_tokenizers.py --from FLUX.1-dev --out models/flux1

--from is a folder with `tokenizer/` (CLIP's: vocab.json, merges.txt) and `tokenizer_2/` (T5's: tokenizer.json), as
FLUX.1's repositories have them. CLIP's two files become one: BPE over bytes behind CLIP's clean-up, with the same
settings that transformers gives it when it converts them. Needs nothing but Python; gives the same bytes each time.
"""
import argparse
import gzip
import json
from pathlib import Path

START, END = "<|startoftext|>", "<|endoftext|>"
# Words as CLIP's code finds them: English endings, runs of letters, single digits, runs of other signs.
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def special(token, number, normalized):
    as_it_is = {"single_word": False, "lstrip": False, "rstrip": False}
    return {"id": number, "content": token, **as_it_is, "normalized": normalized, "special": True}


def clip(folder):
    vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    merges = [line for line in lines[1:] if line]  # the first line is the format's version
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [special(START, vocab[START], True), special(END, vocab[END], False)],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Removed", "invert": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            ],
        },
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": [END, vocab[END]],
            "cls": [START, vocab[START]],
            "trim_offsets": False,
            "add_prefix_space": False,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": END,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": merges,
        },
    }


def pack(tokenizer, path):
    text = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    path.write_bytes(gzip.compress(text, compresslevel=9, mtime=0))
    print(f"{path}: {len(text)} bytes, packed {path.stat().st_size}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    t5 = json.loads((arguments.source / "tokenizer_2" / "tokenizer.json").read_text(encoding="utf-8"))
    pack(clip(arguments.source / "tokenizer"), arguments.out / "clip_tokenizer.json.gz")
    pack(t5, arguments.out / "t5_tokenizer.json.gz")


if __name__ == "__main__":
    main()
