#!/usr/bin/env python3
"""Writes crates/train/tests/fixtures: small networks of timm with random weights, what they compute, and one step.

Not part of the tests; its output is. To write it anew:
    python3 -m venv parity && parity/bin/pip install -r scripts/pytorch-requirements.txt
    parity/bin/python scripts/parity_fixtures.py

A fixture holds, by timm's names: the weights as `weight/NAME`, the gradients of the mean cross-entropy as `gradient/NAME`,
the weights after one step of the family's optimiser as `after/NAME`, and `input`, `labels` and `logits`.

Where timm and the released code of NFNet differ, the released code is followed: GELU in its tanh form, no epsilon added to
the variance of weights, one clipping norm for all gains of a convolution, no decay of gains.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from timm_networks import nfnet, vit

FIXTURES = Path(__file__).parent.parent / "crates/train/tests/fixtures"
CLASSES = 5
RATE = 0.1
# SGD with adaptive gradient clipping (arXiv 2102.06171).
MOMENTUM, DECAY, LAMBDA, EPS = 0.9, 0.02, 0.05, 1e-3
# AdamW. The gradient of a key's bias is zero but for rounding; a large epsilon keeps the first step from dividing by it.
ADAM_RATE, BETAS, ADAM_EPS, ADAM_DECAY, CLIP_NORM = 0.01, (0.9, 0.99), 1e-4, 0.1, 0.5


def stir(model):
    """Weights that leave nothing at its initial zero or one."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))


def clip_and_step(name, weight, gradient):
    """One first step of SGD as in the released code: clip, decay, velocity, Nesterov."""
    vector = weight.ndim <= 1 or name.endswith("gain")
    if name != "head.fc.weight":
        rows = 1 if vector else weight.shape[0]
        norm = lambda tensor: tensor.reshape(rows, -1).norm(dim=1)
        largest = LAMBDA * norm(weight).clamp(min=EPS)
        scale = torch.where(norm(gradient) > largest, largest / norm(gradient).clamp(min=1e-6), 1.0)
        gradient = (gradient.reshape(rows, -1) * scale[:, None]).reshape(gradient.shape)
    if not vector:
        gradient = gradient + DECAY * weight
    velocity = gradient
    return weight - RATE * (gradient + MOMENTUM * velocity)


def gradients(model, side):
    pictures = torch.randn(3, 3, side, side)
    labels = torch.tensor([1, 4, 0])
    logits = model.eval()(pictures)
    F.cross_entropy(logits, labels).backward()
    return {"input": pictures, "labels": labels, "logits": logits.detach()}


def write(name, tensors, before, gradient, after):
    for part, values in [("weight", before), ("gradient", gradient), ("after", after)]:
        tensors |= {f"{part}/{key}": value.detach().clone().contiguous() for key, value in values.items()}
    save_file(tensors, FIXTURES / f"{name}.safetensors")


def write_nfnet():
    model = nfnet((1, 2, 2, 1), (16, 16, 32, 32), 8, stem_type="deep_quad", stem_chs=16, classes=CLASSES)
    stir(model)
    # Of odd height after the second stride, where SAME padding is not what it is at even ones.
    tensors = gradients(model, 36)
    before = dict(model.named_parameters())
    gradient = {name: parameter.grad for name, parameter in before.items()}
    after = {name: clip_and_step(name, before[name].detach(), gradient[name]) for name in before}
    write("nfnet", tensors, before, gradient, after)


def write_vit(name, **head):
    model = vit(12, patch=4, width=16, depth=2, heads=2, mlp_ratio=2, classes=CLASSES, **head)
    stir(model)
    tensors = gradients(model, 12)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    gradient = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    # Biases, norms, tokens and positions do not decay.
    plain = lambda key, parameter: parameter.ndim <= 1 or key in ("pos_embed", "cls_token", "attn_pool.latent")
    named = list(model.named_parameters())
    groups = [
        {"params": [parameter for key, parameter in named if plain(key, parameter)], "weight_decay": 0.0},
        {"params": [parameter for key, parameter in named if not plain(key, parameter)], "weight_decay": ADAM_DECAY},
    ]
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    torch.optim.AdamW(groups, lr=ADAM_RATE, betas=BETAS, eps=ADAM_EPS).step()
    write(name, tensors, before, gradient, dict(model.named_parameters()))


if __name__ == "__main__":
    torch.manual_seed(7)
    # Kernels of other machines may round differently, so the numbers are a function of the seed only up to rounding.
    torch.set_num_threads(1)
    FIXTURES.mkdir(parents=True, exist_ok=True)
    write_nfnet()
    write_vit("vit-map", class_token=False, global_pool="map")
    write_vit("vit-token", class_token=True, global_pool="token")
