"""What is measured where nothing else is given: bundles without training, a phantom, and a large volume."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from DynamicSegLib.bank import Bank, Candidate
from DynamicSegLib.bundle import Bundle, RouterSpec
from DynamicSegLib.bundles import find_bundles, load_bundle, write_bundle
from DynamicSegLib.methods.glioma import LABELS
from DynamicSegLib.methods.med_danet import METHOD, build_decision_network, reference_bundle
from DynamicSegLib.normalisation import Normalisation, NormalisationKind
from DynamicSegLib.study import InputSpec
from DynamicSegLib.weights import Storage

SHIPPED = "glioma"
LARGE_SHAPE = (1000, 512, 512)
"""Slices, rows and columns of a CT from neck to thigh."""
_LARGE_SPACING_MM = (0.68, 0.70)  # of the scan and of the bundle, so that the volume has to be interpolated too


def bundles_to_measure(name: str | None, folder: Path) -> list[Bundle]:
    """The bundle asked for; else the shipped one, and all others for the same volumes; else the published bank with
    stand-in weights, written to `folder`.

    Raises
    ------
    BundleError: a bundle was asked for and is not there.
    """
    found = find_bundles()
    if name is not None or SHIPPED not in found:
        return [write_stand_in(folder / "stand-in") if name is None else load_bundle(name)]
    shipped = load_bundle(SHIPPED)
    others = [load_bundle(other) for other in sorted(found) if other != SHIPPED]
    return [shipped, *(each for each in others if each.input == shipped.input and each.router is not None)]


def write_stand_in(folder: Path) -> Bundle:
    """Med-DANet's published bank with random weights.

    A network takes the same time whatever its weights; only the labels mean nothing.
    """
    return _with_random_weights(folder, replace(reference_bundle(), name=folder.name))


def write_large_stand_in(folder: Path, rows: int = LARGE_SHAPE[1]) -> Bundle:
    """A small UNet for one modality in slices of `rows` x `rows` pixels, with random weights."""
    bank = Bank((Candidate("U4", "unet2d", {"in_channels": 1, "out_channels": 2, "base": 4}),), 1)
    spacing, window = _LARGE_SPACING_MM[1], Normalisation(NormalisationKind.WINDOW, -1000.0, 1000.0)
    spec = InputSpec(("ct",), "axial", (spacing, spacing), (rows, rows), window, skull_stripped=False)
    bundle = Bundle(folder.name, METHOD, spec, LABELS[:1], bank, RouterSpec("shufflenetv2-m", {}))
    return _with_random_weights(folder, bundle)


def write_large_case(folder: Path, shape: tuple[int, int, int] = LARGE_SHAPE) -> Path:
    """A folder with one volume of noise, int16 `[slice, row, column]` of `shape`, uncompressed: 0.5 GB."""
    folder.mkdir(parents=True)
    values = np.empty(shape, np.int16)
    rng = np.random.default_rng(0)
    for plane in values:
        plane[...] = rng.integers(-1000, 1000, shape[1:], np.int16)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((_LARGE_SPACING_MM[0], _LARGE_SPACING_MM[0], 1.0))
    sitk.WriteImage(image, str(folder / "large_ct.nii"))
    return folder


def large_to_measure(folder: Path) -> tuple[Path, Path]:
    """The large volume's case and its bundle, written to `folder`."""
    bundle = write_large_stand_in(folder / "large-stand-in").folder
    assert bundle is not None
    return write_large_case(folder / "large"), bundle


def _with_random_weights(folder: Path, bundle: Bundle) -> Bundle:
    """Written to `folder`; its router sees something on every slice and prefers the first candidate."""
    import torch

    torch.manual_seed(0)
    states = {
        candidate.name: candidate.build().get_submodule("network").state_dict() for candidate in bundle.bank.candidates
    }
    router = build_decision_network(bundle)
    with torch.no_grad():
        for head in (router.backbone.classifier, router.quality, router.area):
            head.weight.zero_()
        router.backbone.classifier.weight[1].fill_(1.0)  # features are never negative
        router.quality.bias.copy_(torch.arange(len(states)) * 0.3)
        router.area.bias.fill_(6.0)
    card = "# Stand-in\n\nRandom weights, for measuring time only.\n"
    return write_bundle(folder, bundle, states, router.state_dict(), card, Storage.FLOAT16)


def case_to_measure(case: Path | None, folder: Path, slices: int) -> Path:
    """The case asked for, or a phantom of `slices` written to `folder`."""
    if case is not None:
        return case
    from DynamicSegLib.synthesis import make_phantom, write_phantom

    return write_phantom(folder, "phantom", make_phantom(0, slices))
