"""From a bundle to something that runs: the one place that knows all methods."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from DynamicSegLib.agreement import Agreement
from DynamicSegLib.backends.base import Backend
from DynamicSegLib.backends.choice import choose_backend
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.cost import Cost
from DynamicSegLib.engine import Run
from DynamicSegLib.errors import BackendError, BundleError, InputError
from DynamicSegLib.execution import CandidateExecution, Execution
from DynamicSegLib.extent import Extent
from DynamicSegLib.methods import med_danet, med_danet_v2, mutualnet
from DynamicSegLib.methods.staged_execution import DynamicExecution
from DynamicSegLib.routing import Router
from DynamicSegLib.study import Study

Size = tuple[int, int]
SETTINGS = ("whole", "window")


@dataclass(frozen=True)
class Method:
    """What a published method brings: its router, the router's cost, its bank as published, without weights, its own
    way to run an option where it has one, what an option's cost consists of where that is more than one network, and
    whether options see whole slices, since they find their own part of it, instead of the study's extent.
    """

    make_router: Callable[[Bundle, Backend, Size], Router]
    router_cost: Callable[[Bundle, Size], Cost]
    reference_bundle: Callable[[int], Bundle]
    make_execution: Callable[[Bundle, Backend, Size, str], Execution] = CandidateExecution
    cost_parts: Callable[[Bundle, Size, int], Mapping[str, Cost]] | None = None
    whole_slices: bool = False


METHODS = {
    med_danet.METHOD: Method(med_danet.make_router, med_danet.router_cost, med_danet.reference_bundle),
    med_danet_v2.METHOD: Method(
        med_danet_v2.make_router,
        med_danet_v2.router_cost,
        med_danet_v2.reference_bundle,
        DynamicExecution,
        med_danet_v2.cost_parts,
        whole_slices=True,
    ),
    mutualnet.METHOD: Method(
        mutualnet.make_router, mutualnet.router_cost, mutualnet.reference_bundle, mutualnet.make_execution
    ),
}


def method_of(bundle: Bundle) -> Method:
    """The bundle's method.

    Raises
    ------
    BundleError: the method is unknown here, or the bundle has no router.
    """
    if bundle.method not in METHODS:
        raise BundleError(
            f"Bundle {bundle.name!r} uses method {bundle.method!r}: expected one of {', '.join(METHODS)}."
        )
    if bundle.router is None:
        raise BundleError(f"Bundle {bundle.name!r} has no router: it cannot decide between its candidates.")
    return METHODS[bundle.method]


def extent_of(study: Study, bundle: Bundle) -> Extent:
    """The part of each slice that the bundle's candidates see: what holds anything, or all of it (see `Method`).

    Raises
    ------
    BundleError: see `method_of`.
    """
    whole = method_of(bundle).whole_slices
    return Extent.whole(study.grid.shape[1:]) if whole else Extent.around(study.volumes)


def _dice_lost(bundle: Bundle, setting: str, precision: str) -> Mapping[str, float]:
    """What the bundle loses by precision; int8 only where all of its candidates have such models.

    Raises
    ------
    BackendError: `precision` is int8, and a candidate has no such model.
    """
    lacking = [name for name in bundle.bank.options[1:] if name not in bundle.int8 or setting != "whole"]
    if lacking and precision == "int8":
        raise BackendError(
            f"Bundle {bundle.name!r} has no int8 model of {lacking[0]} (setting {setting!r}): choose precision fp32 or "
            "bf16."
        )
    return {name: lost for name, lost in bundle.dice_lost.items() if name != "int8" or not lacking}


def start_run(
    study: Study,
    bundle: Bundle,
    *,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "auto",
    setting: str = "whole",
    batch: int | None = None,
    short_steps: bool = False,
    extent: Extent | None = None,
) -> Run:
    """A run of `bundle` on `study`, nothing computed yet.

    Parameters
    ----------
    device, backend, precision: see `backends.choice.choose_backend`.
    setting, batch: see `engine.Run`.
    short_steps: run only as many slices at once as run side by side, for a window that has to stay live.
    extent: the part of each slice that candidates see; by default `extent_of`.

    Raises
    ------
    BundleError: see `method_of`.
    InputError: the study was prepared for other input than the bundle's, or an unknown setting.
    BackendError: the machine, or the bundle, lacks what was asked for.
    """
    method = method_of(bundle)
    if study.spec != bundle.input:
        given, taken = (f"{', '.join(spec.modalities)}, {spec.slice_axis}" for spec in (study.spec, bundle.input))
        raise InputError(
            f"The study was prepared for other input ({given}) than bundle {bundle.name!r} takes ({taken}): read the "
            "case for this bundle."
        )
    if setting not in SETTINGS:
        raise InputError(f"Setting {setting!r} is unknown: expected {' or '.join(SETTINGS)}.")
    extent = extent or extent_of(study, bundle)
    size, volumes = extent.size, extent.cut(study.volumes)
    agreement = Agreement(
        study.slices,
        lambda option, indices: bundle.bank.seen(option, volumes, indices, study.spacing_mm[0]),
        len(bundle.bank.candidates),
        lambda each: method.make_execution(bundle, each, size, setting),
        f"{bundle.checksum} {setting}" if bundle.checksum else "",
    )
    chosen = choose_backend(backend, device, precision, agreement.dice, _dice_lost(bundle, setting, precision))
    # Decisions stay those of float32: the router takes a thousandth of the bank's time.
    exact = choose_backend(backend, chosen.facts.device, "fp32")
    execution = method.make_execution(bundle, chosen, size, setting)
    router = method.make_router(bundle, exact, extent.slice_size)
    batch = chosen.side_by_side if short_steps else batch
    return Run(study, bundle, router, chosen, setting, batch, execution, extent)
