"""What is measured where nothing else is given: a bundle without training, and a phantom."""

from dataclasses import replace
from pathlib import Path

from DynamicSegLib.bundle import Bundle
from DynamicSegLib.bundles import find_bundles, load_bundle, write_bundle
from DynamicSegLib.methods.med_danet import build_decision_network, reference_bundle
from DynamicSegLib.weights import Storage

SHIPPED = "glioma"


def bundle_to_measure(name: str | None, folder: Path) -> Bundle:
    """The bundle asked for; else the shipped one; else the published bank with stand-in weights, written to `folder`.

    Raises
    ------
    BundleError: a bundle was asked for and is not there.
    """
    if name is not None or SHIPPED in find_bundles():
        return load_bundle(name or SHIPPED)
    return write_stand_in(folder / "stand-in")


def write_stand_in(folder: Path) -> Bundle:
    """Med-DANet's published bank with random weights, whose router sees tumour on every slice and prefers M1.

    A network takes the same time whatever its weights; only the labels mean nothing.
    """
    import torch

    torch.manual_seed(0)
    bundle = replace(reference_bundle(), name=folder.name)
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
