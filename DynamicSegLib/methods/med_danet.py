"""Med-DANet (ECCV 2022): skip a slice, or give it one of the bank's networks; a decision network chooses."""

from typing import TYPE_CHECKING

from DynamicSegLib.backends.base import Backend, Deferred
from DynamicSegLib.bank import Bank, Candidate
from DynamicSegLib.bundle import Bundle, RouterSpec
from DynamicSegLib.cost import Cost, count
from DynamicSegLib.cost_cache import remembered
from DynamicSegLib.methods.glioma import INPUT, LABELS, REGIONS
from DynamicSegLib.routing import DecisionRouter
from DynamicSegLib.weights import load_into

if TYPE_CHECKING:
    from DynamicSegLib.networks.decision import DecisionNetwork

METHOD = "med-danet"


def reference_bundle(size: int = 240) -> Bundle:
    """The paper's bank and decision network without weights, for asking costs and starting a training run.

    Parameters
    ----------
    size: in-plane size for which the position tables of M3 and M4 are made.

    Source: Med-DANet, Sec. 4.1 and Table 3.
    """
    channels, classes = len(INPUT.modalities), len(LABELS) + 1
    common = {"in_channels": channels, "out_channels": classes}
    candidates = (
        Candidate("M1", "unet2d", {**common, "base": 12}),
        Candidate("M2", "unet2d", {**common, "base": 16}),
        Candidate("M3", "transbts2d", {**common, "layers": 1, "size": size}),
        Candidate("M4", "transbts2d", {**common, "layers": 4, "size": size}),
    )
    return Bundle(
        name=METHOD,
        method=METHOD,
        input=INPUT,
        labels=LABELS,
        bank=Bank(candidates, channels),
        router=RouterSpec("shufflenetv2-m", {}),
        regions=REGIONS,
    )


def build_decision_network(bundle: Bundle) -> "DecisionNetwork":
    """The bundle's decision network, with its weights where it has some."""
    from DynamicSegLib.networks.decision import DecisionNetwork

    assert bundle.router is not None
    network = DecisionNetwork(
        bundle.router.network, len(bundle.bank.candidates), bundle.bank.modalities, **bundle.router.arguments
    )
    if bundle.router.weights is not None:
        load_into(network, bundle.router.weights)
    return network


def make_router(bundle: Bundle, backend: Backend, size: tuple[int, int]) -> DecisionRouter:
    """The bundle's router, ready for slices of `size` (rows, columns).

    The decision network sees the whole slice in both of the paper's settings.
    Deviation: in setting 1 the paper decides for each of the 16 windows; here one option a slice, at a lower cost.
    """
    network = Deferred(lambda: build_decision_network(bundle), f"{bundle.checksum} router" if bundle.checksum else "")
    cost = router_cost(bundle, size)
    return DecisionRouter(backend.compile(network, bundle.bank.modalities, size), lambda _: cost)  # type: ignore[arg-type]


def router_cost(bundle: Bundle, size: tuple[int, int]) -> Cost:
    """Cost of the decision network on one slice of `size` (rows, columns)."""
    assert bundle.router is not None
    name, arguments = bundle.router.network, bundle.router.arguments
    candidates, channels = len(bundle.bank.candidates), bundle.bank.modalities

    def counted() -> Cost:
        import torch

        from DynamicSegLib.networks.decision import DecisionNetwork

        with torch.device("meta"):
            network = DecisionNetwork(name, candidates, channels, **arguments)
        return count(network, (1, channels, *size))

    return remembered(("router", name, sorted(arguments.items()), candidates, channels, size), counted)
