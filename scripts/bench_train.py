#!/usr/bin/env python3
"""Images per second of the worker and of PyTorch of the same version, alternating; run by `make bench-train`.

Both sides train the same network (timm's blocks on PyTorch's side) with one thread, batch 64, on 28 x 28 grey pictures: cross-
entropy, adaptive gradient clipping, Nesterov momentum or AdamW. The worker runs as `scalelaw run` starts it, its data pipeline
included; PyTorch gets its pictures ready in memory. Every figure is the median step of a process of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BATCH = 64
# name: widths, stem channels, group width of NFNets with depths 1-1-2-1 (the demonstration's), or width, depth, heads of ViTs.
NFNETS = {
    "S": ((16, 32, 96, 96), 8, 8),
    "M": ((32, 64, 192, 192), 16, 16),
    "L": ((64, 128, 384, 384), 32, 32),
}
VITS = {"ViT-64": (64, 4, 4)}
PEERS = ("eager", "channels-last", "compile")


def sweep(name, seed, steps):
    """A sweep file with one network and one run."""
    if name in NFNETS:
        widths, stem, group = NFNETS[name]
        model = (
            f'family = "nfnet"\nstem_strides = [2]\nstem_channels = [{stem}]\nstrides = [2, 2, 2, 2]\ninitial_skip_gain = 1\n'
            f'sizes = [{{ name = "{name}", depths = [1, 1, 2, 1], widths = {list(widths)}, group_width = {group} }}]'
        )
    else:
        width, depth, heads = VITS[name]
        model = (
            f'family = "vit"\npooling = "map"\n'
            f'sizes = [{{ name = "{name}", patch = 7, width = {width}, depth = {depth}, heads = {heads} }}]'
        )
    return (
        f'name = "bench"\n[data]\ndataset = "fashion-mnist"\ntrain_examples = {BATCH * steps}\nheldout_examples = 250\n'
        f"[model]\n{model}\n[grid]\nepochs = [1]\nlr = [0.001]\nseeds = [{seed}]\n"
        f"[train]\nbatch = {BATCH}\nmomentum = 0.9\nweight_decay = 2e-5\nagc_lambda = 0.1\n[resources]\nthreads = 1\n"
    )


def worker(name, turn, steps, folder):
    path = Path(folder) / "bench.toml"
    path.write_text(sweep(name, turn, steps))
    scalelaw = ROOT / "target/debug/scalelaw"
    state = ["--state-dir", str(Path(folder) / f"{name}-{turn}")]
    subprocess.run([scalelaw, "run", path, "--slots", "1", *state], check=True, capture_output=True)
    rows = subprocess.run([scalelaw, "export", "csv", "--json", *state], check=True, capture_output=True)
    return json.loads(rows.stdout)["runs"][0]["images_per_second"]


def pytorch(name, peer, steps):
    """One measurement, in a process of its own."""
    import torch
    import torch.nn.functional as F
    from timm.utils.agc import adaptive_clip_grad

    from timm_networks import nfnet, vit

    torch.set_num_threads(1)
    torch.manual_seed(0)
    if name in NFNETS:
        widths, stem, group = NFNETS[name]
        model = nfnet((1, 1, 2, 1), widths, group, stem_type="3x3", stem_chs=stem, classes=10, in_chans=1)
        head = {id(parameter) for parameter in model.head.parameters()}
        clipped = [parameter for parameter in model.parameters() if id(parameter) not in head]
        optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9, nesterov=True, weight_decay=2e-5, fused=True)
        clip = lambda: adaptive_clip_grad(clipped, 0.1)
    else:
        width, depth, heads = VITS[name]
        head = dict(class_token=False, global_pool="map")
        model = vit(28, patch=7, width=width, depth=depth, heads=heads, mlp_ratio=4, classes=10, in_chans=1, **head)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
        clip = lambda: torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    pictures, labels = torch.randn(BATCH, 1, 28, 28), torch.randint(0, 10, (BATCH,))
    if peer == "channels-last":
        model, pictures = model.to(memory_format=torch.channels_last), pictures.to(memory_format=torch.channels_last)
    forward = torch.compile(model) if peer == "compile" else model
    seconds = []
    for _ in range(steps):
        began = time.perf_counter()
        F.cross_entropy(forward(pictures), labels).backward()
        clip()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - began)
    print(BATCH / statistics.median(seconds))


def peer_process(name, peer, steps):
    command = [sys.executable, __file__, "--measure", name, peer, "--steps", str(steps)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each side (default 5)")
    parser.add_argument("--steps", type=int, default=120, help="steps of a measurement (default 120)")
    parser.add_argument("--cells", nargs="+", default=[*NFNETS, *VITS], choices=[*NFNETS, *VITS])
    parser.add_argument("--peers", nargs="+", default=PEERS, choices=PEERS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return pytorch(*options.measure, options.steps)
    header = "".join(f"{peer + ' img/s':>22}{'ratio [low, high]':>22}" for peer in options.peers)
    print(f"{'cell':8}{'worker img/s':>14}{header}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.cells:
            ours, theirs = [], {peer: [] for peer in options.peers}
            for turn in range(options.rounds):
                ours.append(worker(name, turn, options.steps, folder))
                for peer in options.peers:
                    theirs[peer].append(peer_process(name, peer, options.steps))
            line = f"{name:8}{statistics.median(ours):14.0f}"
            for peer in options.peers:
                ratios = sorted(mine / other for mine, other in zip(ours, theirs[peer]))
                spread = f"{statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
                line += f"{statistics.median(theirs[peer]):22.0f}{spread:>22}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
