"""From a bundle to something that runs: the one place that knows all methods."""

from collections.abc import Callable

from DynamicSegLib.backends.base import Backend
from DynamicSegLib.backends.choice import choose_backend
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.engine import Run
from DynamicSegLib.errors import BundleError
from DynamicSegLib.methods import med_danet
from DynamicSegLib.routing import Router
from DynamicSegLib.study import Study

ROUTERS: dict[str, Callable[[Bundle, Backend, tuple[int, int]], Router]] = {med_danet.METHOD: med_danet.make_router}
REFERENCE_BUNDLES: dict[str, Callable[[int], Bundle]] = {med_danet.METHOD: med_danet.reference_bundle}


def start_run(
    study: Study,
    bundle: Bundle,
    *,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "auto",
    setting: str = "whole",
    batch: int | None = None,
) -> Run:
    """A run of `bundle` on `study`, nothing computed yet.

    Parameters
    ----------
    device, backend, precision: see `backends.choice.choose_backend`.
    setting, batch: see `engine.Run`.

    Raises
    ------
    BundleError: the bundle's method is unknown, or it has no router.
    BackendError: the machine lacks what was asked for.
    """
    if bundle.method not in ROUTERS:
        raise BundleError(f"Bundle {bundle.name!r} uses method {bundle.method!r}: expected one of {', '.join(ROUTERS)}.")
    if bundle.router is None:
        raise BundleError(f"Bundle {bundle.name!r} has no router: it cannot decide between its candidates.")
    chosen = choose_backend(backend, device, precision)
    router = ROUTERS[bundle.method](bundle, chosen, study.grid.shape[1:])
    return Run(study, bundle, router, chosen, setting, batch)
