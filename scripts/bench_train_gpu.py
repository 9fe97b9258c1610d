#!/usr/bin/env python3
"""Images per second of the worker and of PyTorch on one GPU, alternating; run by `make bench-train-gpu`.

NFNet-F0 and F1 at 224 pixels, 16-bit activations, channels last, one input channel (Fashion-MNIST, enlarged by either side on the
GPU). PyTorch trains timm's network of the same formulas under autocast, eager and compiled. The share of the device's peak is that of
the worker: operations of the architecture per second over --peak-flops.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_train import compared

ROOT = Path(__file__).resolve().parent.parent
DEPTHS = {"F0": (1, 2, 6, 3), "F1": (2, 4, 12, 6)}
PEERS = ("eager", "compile")
SIDE = 224


def sweep(name, seed, options):
    return (
        f'name = "bench"\n[data]\ndataset = "fashion-mnist"\nresolution = {SIDE}\n'
        f"train_examples = {options.batch * options.steps}\nheldout_examples = {options.batch}\n"
        f'[model]\nfamily = "nfnet"\npresets = ["{name}"]\n[grid]\nepochs = [1]\nlr = [0.01]\nseeds = [{seed}]\n'
        f'[train]\nbatch = {options.batch}\nweight_decay = 2e-5\nprecision = "bf16"\n[resources]\ndevice = "{options.device}"\n'
    )


def worker(name, turn, options, folder):
    """Images per second, and operations per image."""
    path = Path(folder) / "bench.toml"
    path.write_text(sweep(name, turn, options))
    scalelaw = ROOT / "target/debug/scalelaw"
    state = ["--state-dir", str(Path(folder) / f"{name}-{turn}")]
    done = subprocess.run([scalelaw, "run", path, "--slots", "1", *state], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    rows = subprocess.run([scalelaw, "export", "csv", "--json", *state], check=True, capture_output=True)
    run = json.loads(rows.stdout)["runs"][0]
    return run["images_per_second"], run["training_flops"] / run["samples"]


def pytorch(name, peer, options):
    """One measurement, in a process of its own."""
    import torch
    import torch.nn.functional as F
    from timm.utils.agc import adaptive_clip_grad

    from timm_networks import nfnet

    device = options.device
    torch.manual_seed(0)
    model = nfnet(DEPTHS[name], (256, 512, 1536, 1536), 128, stem_type="deep_quad", stem_chs=128, classes=10, in_chans=1)
    model = model.to(device, memory_format=torch.channels_last)
    head = {id(parameter) for parameter in model.head.parameters()}
    clipped = [parameter for parameter in model.parameters() if id(parameter) not in head]
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9, nesterov=True, weight_decay=2e-5, fused=True)
    pixels = torch.randint(0, 256, (options.batch, 1, 28, 28), dtype=torch.uint8)
    pixels = pixels.pin_memory() if device == "cuda" else pixels
    labels = torch.randint(0, 10, (options.batch,), device=device)
    forward = torch.compile(model) if peer == "compile" else model
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    seconds = []
    for _ in range(options.steps):
        began = time.perf_counter()
        pictures = pixels.to(device, non_blocking=True).float().div_(255)
        pictures = F.interpolate(pictures, SIDE, mode="bicubic").to(memory_format=torch.channels_last)
        with torch.autocast(device, torch.bfloat16):
            logits = forward(pictures)
        F.cross_entropy(logits.float(), labels).backward()
        adaptive_clip_grad(clipped, 0.01)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        wait()
        seconds.append(time.perf_counter() - began)
    print(options.batch / statistics.median(seconds))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each side (default 3)")
    parser.add_argument("--steps", type=int, default=60, help="steps of a measurement (default 60)")
    parser.add_argument("--batch", type=int, default=128, help="images of a step (default 128)")
    parser.add_argument("--cells", nargs="+", default=[*DEPTHS], choices=[*DEPTHS])
    parser.add_argument("--peers", nargs="+", default=PEERS, choices=PEERS)
    parser.add_argument("--peak-flops", type=float, default=989e12, help="of the device; default: an H100's in 16 bits")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="cpu only to try this program")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return pytorch(*options.measure, options)
    own = [f"--{key}={getattr(options, key)}" for key in ("steps", "batch", "device")]
    header = "".join(f"{peer + ' img/s':>16}{'ratio [low, high]':>22}" for peer in options.peers)
    print(f"{'cell':6}{'worker img/s':>14}{'of peak':>9}{header}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.cells:
            ours, flops, theirs = [], 0.0, {peer: [] for peer in options.peers}
            for turn in range(options.rounds):
                speed, flops = worker(name, turn, options, folder)
                ours.append(speed)
                for peer in options.peers:
                    command = [sys.executable, __file__, "--measure", name, peer, *own]
                    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                    theirs[peer].append(float(said.split()[-1]))
            median = statistics.median(ours)
            line = f"{name:6}{median:14.0f}{median * flops / options.peak_flops:9.1%}"
            print(line + "".join(compared(ours, theirs[peer], 16) for peer in options.peers), flush=True)


if __name__ == "__main__":
    main()
