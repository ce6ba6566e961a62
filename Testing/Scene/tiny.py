"""A bundle that fits in a test: four tiny networks with fixed random weights, and a decision network made to decide.

Its labels mean nothing; the library that computes them is the real one.
"""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from DynamicSegLib.bank import Bank, Candidate
from DynamicSegLib.bundle import Bundle, CurvePoint, RouterSpec
from DynamicSegLib.bundles import write_bundle
from DynamicSegLib.methods.glioma import LABELS, REGIONS
from DynamicSegLib.methods.med_danet import build_decision_network
from DynamicSegLib.study import InputSpec

MODALITIES = ("flair", "t1ce", "t1", "t2")
SIZE = 32
SLICES = 12
WIDTHS = {"S": 4, "M": 6, "L": 8}
CURVE = tuple(
    CurvePoint(share, share * 1e9, quality)
    for share, quality in ((0.0, 0.0), (0.05, 0.52), (0.2, 0.78), (0.5, 0.86), (1.0, 0.88))
)


def write_tiny_bundle(folder: Path) -> Bundle:
    """Writes `<folder>/tiny` and returns it as read back."""
    import torch

    from DynamicSegLib.networks.registry import build_network

    torch.manual_seed(0)
    channels = {"in_channels": len(MODALITIES), "out_channels": len(LABELS) + 1}
    candidates = tuple(Candidate(name, "unet2d", {**channels, "base": base}) for name, base in WIDTHS.items())
    bundle = Bundle(
        name="tiny",
        method="med-danet",
        input=InputSpec(MODALITIES, size=(SIZE, SIZE), spacing_mm=(1.0, 1.0)),
        labels=LABELS,
        bank=Bank(candidates, len(MODALITIES)),
        router=RouterSpec("shufflenetv2-m", {}),
        regions=REGIONS,
        curve=CURVE,
        facts={"title": "Tiny", "licence": "Apache-2.0", "description": "For tests."},
    )
    states = {c.name: build_network(c.network, c.arguments).state_dict() for c in candidates}
    decision = build_decision_network(bundle)
    with torch.no_grad():
        decision.area.bias.fill_(4.0)  # every slice is worth something
        decision.quality.bias.copy_(torch.tensor([0.0, 1.0, 2.0]))  # and costlier is better
        decision.backbone.classifier.weight.zero_()
        decision.backbone.classifier.weight[2].fill_(1.0)
    return write_bundle(folder / "tiny", bundle, states, decision.state_dict(), "# Tiny\nFor tests.\n")


def head_images(seed: int = 0) -> dict[str, sitk.Image]:
    """Four volumes of a skull-stripped ball with noise, 32 x 32 x 12 voxels of 1 x 1 x 3 mm, axes as BraTS's."""
    rng = np.random.default_rng(seed)
    k, j, i = np.mgrid[:SLICES, :SIZE, :SIZE]
    inside = ((k - 5.5) / 6) ** 2 + ((j - 15.5) / 12) ** 2 + ((i - 15.5) / 10) ** 2 < 1
    images = {}
    for place, name in enumerate(MODALITIES):
        values = (100 + 20 * place + 30 * (i > 14) * (j > 10) + rng.normal(0, 8, inside.shape)) * inside
        image = sitk.GetImageFromArray(values.astype(np.float32))
        image.SetSpacing((1.0, 1.0, 3.0))
        image.SetOrigin((-12.0, -20.0, 7.0))
        images[name] = image
    return images
