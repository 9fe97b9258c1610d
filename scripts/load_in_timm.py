#!/usr/bin/env python3
"""Loads what `scalelaw-worker export` wrote as timm's network, which computes what was trained.

    from load_in_timm import load
    model = load("exported")

or, to see that it loads:  python scripts/load_in_timm.py exported

Needs timm (scripts/pytorch-requirements.txt). `timm.create_model("local-dir:exported", pretrained=True)` loads it as well,
with the differences that config.json lists: timm's NFNets know only the exact GELU by name.
"""

import json
import sys
from pathlib import Path

import timm
from safetensors.torch import load_file
from timm.layers import get_act_fn
from timm.models.nfnet import GammaAct


def load(folder):
    folder = Path(folder)
    config = json.loads((folder / "config.json").read_text())
    if config["architecture"] is None:
        raise SystemExit(f"{folder}: timm has no such network; scalelaw-worker export said why")
    model = timm.create_model(
        config["architecture"], pretrained=False, num_classes=config["num_classes"], **config["model_args"]
    )
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    for module in model.modules():
        if isinstance(module, GammaAct):
            module.act_fn = get_act_fn("gelu_tanh")
    return model.eval()


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        model = load(folder)
        print(f"{folder}: {type(model).__name__}, {sum(p.numel() for p in model.parameters())} parameters")
