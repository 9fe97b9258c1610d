#!/usr/bin/env python3
"""Loads exports in timm, strictly, and compares the logits. Not part of the tests; to run it:

    SCALELAW_EXPORTS=/tmp/exports cargo test -p train --test train exchange
    python scripts/check_export.py /tmp/exports

The test leaves folders with model.safetensors, config.json and, in sample.safetensors, pictures and the logits that scalelaw
found for them. Differences are relative to the largest logit.
"""

import sys
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file

from load_in_timm import load

TOLERANCE = 1e-4


def main(root):
    folders = sorted(path.parent for path in Path(root).glob("*/sample.safetensors"))
    if not folders:
        raise SystemExit(f"{root}: no folder with a sample.safetensors")
    unequal = []
    for folder in folders:
        sample = load_file(folder / "sample.safetensors")
        # Alone: what someone gets who asks timm without load_in_timm, which sets the activation.
        models = {"load_in_timm": load(folder), "timm alone": timm.create_model(f"local-dir:{folder}", pretrained=True).eval()}
        with torch.no_grad():
            error = {name: difference(model(sample["input"]), sample["logits"]) for name, model in models.items()}
        print(f"{folder.name}:", ", ".join(f"{name} {value:.1e}" for name, value in error.items()))
        if not error["load_in_timm"] <= TOLERANCE:
            unequal.append(folder.name)
    if unequal:
        raise SystemExit(f"differ by more than {TOLERANCE:.0e}: {', '.join(unequal)}")


def difference(found, expected):
    return ((found - expected).abs().max() / expected.abs().max()).item()


if __name__ == "__main__":
    main(sys.argv[1])
