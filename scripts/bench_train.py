#!/usr/bin/env python3
"""Images per second of the worker and of PyTorch of the same version, alternating; run by `make bench-train`.

Both sides train the same network (timm's blocks on PyTorch's side) with one thread on grey pictures: cross-entropy, adaptive
gradient clipping, Nesterov momentum or AdamW. The worker runs as `scalelaw run` starts it, its data pipeline included; PyTorch
gets its pictures ready in memory. Every figure is the median step of a process of its own.

The cells: the demonstration's NFNets S, M and L and a small Vision Transformer, ViT-64, at 28 pixels; the paper's NFNet-F0 (F0-64)
and the ViT Ti/16 (ViT-Ti) at 64.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ("eager", "channels-last", "compile")
DEMONSTRATION = 'stem_strides = [2]\nstrides = [2, 2, 2, 2]\ninitial_skip_gain = 1\n'


@dataclass
class Cell:
    """A network, what it is fed, and how long it is measured."""

    model: str  # the [model] table of a sweep file
    network: tuple  # timm's: depths, widths, group width, type and channels of the stem; or patch, width, depth, heads
    side: int = 28
    batch: int = 64
    steps: int = 120
    rounds: int = 5

    @property
    def nfnet(self):
        return 'family = "nfnet"' in self.model


def demonstration(widths, stem, group):
    sizes = f'sizes = [{{ name = "x", depths = [1, 1, 2, 1], widths = {widths}, group_width = {group} }}]'
    model = f'family = "nfnet"\n{DEMONSTRATION}stem_channels = [{stem}]\n{sizes}'
    return Cell(model, ((1, 1, 2, 1), widths, group, "3x3", stem))


CELLS = {
    "S": demonstration([16, 32, 96, 96], 8, 8),
    "M": demonstration([32, 64, 192, 192], 16, 16),
    "L": demonstration([64, 128, 384, 384], 32, 32),
    "ViT-64": Cell(
        'family = "vit"\npooling = "map"\nsizes = [{ name = "x", patch = 7, width = 64, depth = 4, heads = 4 }]',
        (7, 64, 4, 4),
    ),
    "ViT-Ti": Cell(
        'family = "vit"\npooling = "map"\npresets = ["Ti/16"]', (16, 192, 12, 3), side=64, steps=30, rounds=3
    ),
    "F0-64": Cell(
        'family = "nfnet"\npresets = ["F0"]',
        ((1, 2, 6, 3), [256, 512, 1536, 1536], 128, "deep_quad", 128),
        side=64, batch=16, steps=6, rounds=3,
    ),
}


def sweep(cell, seed):
    """A sweep file with one network and one run."""
    return (
        f'name = "bench"\n[data]\ndataset = "fashion-mnist"\nresolution = {cell.side}\n'
        f"train_examples = {cell.batch * cell.steps}\nheldout_examples = 250\n"
        f"[model]\n{cell.model}\n[grid]\nepochs = [1]\nlr = [0.001]\nseeds = [{seed}]\n"
        f"[train]\nbatch = {cell.batch}\nmomentum = 0.9\nweight_decay = 2e-5\nagc_lambda = 0.1\n[resources]\nthreads = 1\n"
    )


def worker(name, turn, folder):
    path = Path(folder) / "bench.toml"
    path.write_text(sweep(CELLS[name], turn))
    scalelaw = ROOT / "target/debug/scalelaw"
    state = ["--state-dir", str(Path(folder) / f"{name}-{turn}")]
    subprocess.run([scalelaw, "run", path, "--slots", "1", *state], check=True, capture_output=True)
    rows = subprocess.run([scalelaw, "export", "csv", "--json", *state], check=True, capture_output=True)
    return json.loads(rows.stdout)["runs"][0]["images_per_second"]


def pytorch(cell, peer):
    """One measurement, in a process of its own."""
    import torch
    import torch.nn.functional as F
    from timm.utils.agc import adaptive_clip_grad

    from timm_networks import nfnet, vit

    torch.set_num_threads(1)
    torch.manual_seed(0)
    if cell.nfnet:
        depths, widths, group, stem_type, stem = cell.network
        model = nfnet(depths, widths, group, stem_type=stem_type, stem_chs=stem, classes=10, in_chans=1)
        head = {id(parameter) for parameter in model.head.parameters()}
        clipped = [parameter for parameter in model.parameters() if id(parameter) not in head]
        optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9, nesterov=True, weight_decay=2e-5, fused=True)
        clip = lambda: adaptive_clip_grad(clipped, 0.1)
    else:
        patch, width, depth, heads = cell.network
        head = dict(class_token=False, global_pool="map")
        model = vit(cell.side, patch=patch, width=width, depth=depth, heads=heads, mlp_ratio=4, classes=10, in_chans=1, **head)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
        clip = lambda: torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    pictures, labels = torch.randn(cell.batch, 1, cell.side, cell.side), torch.randint(0, 10, (cell.batch,))
    if peer == "channels-last":
        model, pictures = model.to(memory_format=torch.channels_last), pictures.to(memory_format=torch.channels_last)
    forward = torch.compile(model) if peer == "compile" else model
    seconds = []
    for _ in range(cell.steps):
        began = time.perf_counter()
        F.cross_entropy(forward(pictures), labels).backward()
        clip()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - began)
    print(cell.batch / statistics.median(seconds))


def peer_process(name, peer):
    command = [sys.executable, __file__, "--measure", name, peer]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def compared(ours, theirs, width):
    """The columns of one peer: its median, and the median ratio of a round with the lowest and highest."""
    ratios = sorted(mine / other for mine, other in zip(ours, theirs))
    spread = f"{statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
    return f"{statistics.median(theirs):{width}.0f}{spread:>22}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, help="measurements of each side (default 5, of the slow cells 3)")
    parser.add_argument("--cells", nargs="+", default=[*CELLS], choices=[*CELLS])
    parser.add_argument("--peers", nargs="+", default=PEERS, choices=PEERS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, peer = options.measure
        return pytorch(CELLS[name], peer)
    header = "".join(f"{peer + ' img/s':>22}{'ratio [low, high]':>22}" for peer in options.peers)
    print(f"{'cell':8}{'worker img/s':>14}{header}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.cells:
            ours, theirs = [], {peer: [] for peer in options.peers}
            for turn in range(options.rounds or CELLS[name].rounds):
                ours.append(worker(name, turn, folder))
                for peer in options.peers:
                    theirs[peer].append(peer_process(name, peer))
            line = f"{name:8}{statistics.median(ours):14.0f}"
            print(line + "".join(compared(ours, theirs[peer], 22) for peer in options.peers), flush=True)


if __name__ == "__main__":
    main()
