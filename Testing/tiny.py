"""What tests of the library share: a bundle of tiny networks whose decisions can be dictated, and a small head."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from DynamicSegLib.bank import Bank, Candidate
from DynamicSegLib.bundle import Bundle, CurvePoint, RouterSpec
from DynamicSegLib.bundles import write_bundle
from DynamicSegLib.methods.glioma import LABELS, REGIONS
from DynamicSegLib.methods.med_danet import build_decision_network
from DynamicSegLib.networks.registry import build_network
from DynamicSegLib.study import InputSpec
from DynamicSegLib.weights import Storage

MODALITIES = ("flair", "t1ce", "t1", "t2")
ROWS, COLUMNS, SLICES = 40, 32, 12


def describe_tiny_bundle(name: str = "tiny") -> Bundle:
    """Two small UNets, costs as counted."""
    channels = {"in_channels": len(MODALITIES), "out_channels": len(LABELS) + 1}
    candidates = (
        Candidate("S", "unet2d", {**channels, "base": 4}),
        Candidate("L", "unet2d", {**channels, "base": 8}),
    )
    return Bundle(
        name=name,
        method="med-danet",
        input=InputSpec(MODALITIES, size=(ROWS, COLUMNS)),
        labels=LABELS,
        bank=Bank(candidates, len(MODALITIES)),
        router=RouterSpec("shufflenetv2-m", {}),
        regions=REGIONS,
        curve=(CurvePoint(0.0, 0.0, 0.0), CurvePoint(0.5, 1e9, 0.7, {"WT": 0.6}), CurvePoint(1.0, 2e9, 0.9)),
        facts={"title": "Tiny", "licence": "Apache-2.0"},
    )


def write_tiny_bundle(folder: Path, name: str = "tiny", storage: Storage = Storage.FLOAT32) -> Bundle:
    """Write `<folder>/<name>`; random weights, the decision network believes in tumour everywhere and prefers S."""
    torch.manual_seed(0)
    bundle = describe_tiny_bundle(name)
    states = {}
    for candidate in bundle.bank.candidates:
        network = build_network(candidate.network, candidate.arguments)
        torch.nn.init.normal_(network.decoder.head.weight, std=0.5)
        states[candidate.name] = network.state_dict()
    decision = build_decision_network(bundle)
    with torch.no_grad():
        decision.area.weight.zero_()
        decision.area.bias.fill_(5.0)
        decision.quality.weight.zero_()
        decision.quality.bias.copy_(torch.tensor([0.5, 1.5]))
        decision.backbone.classifier.weight.zero_()
        decision.backbone.classifier.weight[1].fill_(1.0)
    return write_bundle(folder / name, bundle, states, decision.state_dict(), "# Tiny\n\nFor tests.\n", storage)


def head_images(seed: int = 0, slices: int = SLICES) -> dict[str, sitk.Image]:
    """Four volumes of a skull-stripped lopsided ball with noise, 1 x 1 x 3 mm, zero outside."""
    rng = np.random.default_rng(seed)
    k, j, i = np.mgrid[:slices, :ROWS, :COLUMNS]
    inside = ((k - slices / 2) / (slices / 2)) ** 2 + ((j - 20) / 15) ** 2 + ((i - 16) / 12) ** 2 < 1
    images = {}
    for place, name in enumerate(MODALITIES):
        values = (100 + 20 * place + 40 * ((i > 14) & (j > 18)) + rng.normal(0, 8, inside.shape)) * inside
        image = sitk.GetImageFromArray(values.astype(np.float32))
        image.SetSpacing((1.0, 1.0, 3.0))
        image.SetOrigin((-16.0, -20.0, 5.0))
        images[name] = image
    return images


def write_case(folder: Path, images: dict[str, sitk.Image]) -> Path:
    """Write `<folder>/case_<modality>.nii.gz`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        sitk.WriteImage(image, str(folder / f"case_{name}.nii.gz"))
    return folder
