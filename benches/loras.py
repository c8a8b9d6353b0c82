#!/usr/bin/env python3
"""How long a folder of many LoRAs takes to be listed by their headers.

    cargo build --release && python3 benches/loras.py target/release/flux-tui [COUNT]

A home gets COUNT (500) LoRAs of FLUX.1's full size in rank 16 in kohya's names: a header of 1,500 tensors each, and behind
it a hole. Each time is the median of 9 of a whole `models list`, in milliseconds, with the seconds of processors that it
took; `none` is the same with an empty folder. One JSON line.
"""
import json, os, resource, statistics, struct, subprocess, sys, tempfile, time

PROGRAM = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/flux-tui")
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 500


def header():
    double = [f"{side}_{name}" for side in ("img", "txt") for name in ("attn_qkv", "attn_proj", "mlp_0", "mlp_2", "mod_lin")]
    names = [f"lora_unet_double_blocks_{block}_{name}" for block in range(19) for name in double]
    names += [f"lora_unet_single_blocks_{block}_{name}" for block in range(38) for name in ("linear1", "linear2", "modulation_lin")]
    tensors, at = {"__metadata__": {"modelspec.title": "bench", "ss_tag_frequency": json.dumps({"a": {"ink": 3}})}}, 0
    for name in names:
        for ending, shape, size in (("lora_down.weight", [16, 3072], 98304), ("lora_up.weight", [3072, 16], 98304), ("alpha", [], 2)):
            tensors[f"{name}.{ending}"] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
            at += size
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text, at


def fill(home):
    folder = os.path.join(home, ".local/share/flux-tui/loras")
    os.makedirs(folder)
    head, data = header()
    for number in range(COUNT):
        with open(os.path.join(folder, f"{number:04}.safetensors"), "wb") as file:
            file.write(head)
            file.truncate(len(head) + data)


def measured(home):
    walls, spent = [], []
    for _ in range(9):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.perf_counter()
        done = subprocess.run([PROGRAM, "models", "list", "--json"], env={"HOME": home, "PATH": os.environ["PATH"]}, capture_output=True)
        walls.append(1000 * (time.perf_counter() - begun))
        if done.returncode:
            raise SystemExit(done.stderr.decode())
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"wall_ms": round(statistics.median(walls), 1), "cpu_s": round(statistics.median(spent), 3)}, done.stdout


with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryDirectory() as full:
    none, _ = measured(empty)
    fill(full)
    all_of_them, out = measured(full)
    told = len(json.loads(out)["loras"])
    assert told == COUNT, f"{told} of {COUNT} were listed"
    print(json.dumps({"loras": COUNT, "none": none, "listed": all_of_them, "load": os.getloadavg()[0]}))
