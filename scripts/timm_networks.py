"""timm's networks with the formulas of ours: what the parity fixtures and the benchmark both build."""

from functools import partial

import torch
import torch.nn.functional as F
from timm.models import nfnet as timm_nfnet
from timm.models.vision_transformer import VisionTransformer

# timm's NFNets know only the exact GELU; the code released with the paper uses the approximation.
timm_nfnet.GammaAct.forward = lambda self, x: F.gelu(x, approximate="tanh") * self.gamma


def nfnet(depths, channels, group_size, stem_type, stem_chs, classes, in_chans=3):
    """An NFNet as in the released code: gains of activations apart, no epsilon added to the variance of weights."""
    cfg = timm_nfnet.NfCfg(
        depths=depths, channels=channels, stem_type=stem_type, stem_chs=stem_chs, group_size=group_size, ch_div=8,
        num_features=2 * channels[-1], extra_conv=True, gamma_in_act=True, same_padding=True, skipinit=True,
        std_conv_eps=1e-12, act_layer="gelu", attn_layer="se", attn_kwargs=dict(rd_ratio=0.5, rd_divisor=1),
    )
    return timm_nfnet.NormFreeNet(cfg, num_classes=classes, in_chans=in_chans)


def vit(side, patch, width, depth, heads, mlp_ratio, classes, in_chans=3, **head):
    """A pre-norm Vision Transformer; `head` says how tokens become features."""
    return VisionTransformer(
        img_size=side, patch_size=patch, num_classes=classes, in_chans=in_chans, embed_dim=width, depth=depth,
        num_heads=heads, mlp_ratio=mlp_ratio, norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        act_layer=partial(torch.nn.GELU, approximate="tanh"), **head,
    )
