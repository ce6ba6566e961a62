"""MutualNet (ECCV 2020): one slimmable network at many widths and resolutions, chosen by a table or a decision network.

Its bank's candidates are configurations of one network, so one small file serves them all. Two routers:

- `table`, the paper's way: every slice of a volume gets what the query table promises, and looking at it costs nothing;
- a decision network, which the paper does not have: each slice gets its own configuration, as in Med-DANet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.backends.base import Backend
from DynamicSegLib.bank import Bank, Candidate
from DynamicSegLib.budget import Budget, Unit
from DynamicSegLib.bundle import Bundle, CurvePoint, RouterSpec
from DynamicSegLib.context import ALONE, Context
from DynamicSegLib.cost import Cost
from DynamicSegLib.engine import Run
from DynamicSegLib.errors import BundleError
from DynamicSegLib.execution import CandidateExecution, Outcome
from DynamicSegLib.methods import med_danet
from DynamicSegLib.methods.glioma import INPUT, LABELS, REGIONS
from DynamicSegLib.query_table import QueryRow, best, choose, from_plain, pareto_front
from DynamicSegLib.routing import Prediction, Router

METHOD = "mutualnet"
NETWORK = "slimmable-unet2d"
TABLE = "table"
"""The router that needs no network; its argument `quality` is one number a candidate, 0..1."""
FACT = "query_table"
"""The key of a bundle's facts under which the query table of all configurations lies (`query_table.to_plain`)."""

_REFERENCE_WIDTHS = (0.25, 0.5, 0.75, 1.0)
_REFERENCE_RESOLUTIONS = (144, None)
# What is at stake on a slice of the head, before anything is known of it: pixels.
_PRIOR_AREA = 1000.0
# Of two slices with equal promises the one with more of the head on it comes first.
_TIE_BREAK = 1e-3


def candidate(
    width: float,
    resolution: int | None,
    modalities: int,
    out_channels: int,
    base: int = 16,
    context: Context = ALONE,
) -> Candidate:
    """One configuration of the slimmable UNet as a candidate, without weights. `modalities`: of one slice."""
    from DynamicSegLib.networks.slimmable import Configuration

    arguments = {
        "in_channels": modalities * context.planes,
        "out_channels": out_channels,
        "base": base,
        "width": width,
        "resolution": resolution,
    }
    return Candidate(Configuration(width, resolution).name, NETWORK, arguments, context=context)


def reference_bundle(size: int = 240) -> Bundle:
    """Four widths at two resolutions, cheapest first, without weights, for asking costs.

    Parameters
    ----------
    size: in-plane size by which the candidates are ordered; they run at any.

    Source: MutualNet; Med-DANet's M2 as the full network.
    """
    channels, classes = len(INPUT.modalities), len(LABELS) + 1
    candidates = [
        candidate(width, resolution, channels, classes)
        for width in _REFERENCE_WIDTHS
        for resolution in _REFERENCE_RESOLUTIONS
    ]
    candidates.sort(key=lambda each: each.cost((size, size), channels).macs)
    return Bundle(
        name=METHOD,
        method=METHOD,
        input=INPUT,
        labels=LABELS,
        bank=Bank(tuple(candidates), channels),
        router=RouterSpec("shufflenetv2-m", {}),
        regions=REGIONS,
    )


@dataclass(frozen=True)
class TableRouter:
    """Promises every slice of a volume what the query table promises; slices outside the head are skipped.

    Parameters
    ----------
    quality: mean Dice of each candidate over cases, 0..1.

    Source: MutualNet: the table chooses one configuration for all inputs.
    Deviation: a budget that lies between two configurations of the front is spent on both, the better one on the slices
    with more of the head; `one_for_all` keeps to the paper.
    """

    quality: tuple[float, ...]

    def cost(self, size: tuple[int, int]) -> Cost:
        """Nothing: no slice is looked at by a network."""
        return Cost()

    def predict(self, slices: NDArray[np.float32]) -> Prediction:
        """The table for every slice with anything on it, float32 `[slice, modality, row, column]`."""
        covered = (slices != 0).any(axis=1).mean(axis=(1, 2))
        seen = covered > 0
        quality = np.where(seen[:, None], np.array([0.0, *self.quality]), np.array([1.0] + [0.0] * len(self.quality)))
        area = np.where(seen, _PRIOR_AREA * (1 + _TIE_BREAK * covered), 0.0)
        best = 1 + int(np.argmax(self.quality))
        return Prediction(quality.astype(np.float32), area.astype(np.float32), np.where(seen, best, 0).astype(np.int64))


def make_router(bundle: Bundle, backend: Backend, size: tuple[int, int]) -> Router:
    """The bundle's router, ready for slices of `size` (rows, columns)."""
    assert bundle.router is not None
    if bundle.router.network != TABLE:
        return med_danet.make_router(bundle, backend, size)
    return TableRouter(_qualities(bundle))


def router_cost(bundle: Bundle, size: tuple[int, int]) -> Cost:
    """Cost of the router on one slice of `size` (rows, columns); nothing where it is the table."""
    assert bundle.router is not None
    return Cost() if bundle.router.network == TABLE else med_danet.router_cost(bundle, size)


@dataclass(frozen=True)
class MutualExecution:
    """Every configuration as one compiled network; each decision says its width and resolution."""

    networks: CandidateExecution

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.networks.facts

    def prepare(self, option: int) -> None:
        """See `execution.Execution`."""
        self.networks.prepare(option)

    def run(self, option: int, slices: NDArray[np.float32]) -> Outcome:
        """See `execution.Execution`."""
        arguments = self.networks.bundle.bank.candidates[option - 1].arguments
        extra = {"width": arguments["width"], "resolution": arguments["resolution"] or "whole"}
        return replace(self.networks.run(option, slices), extras=(extra,) * len(slices))


def make_execution(bundle: Bundle, backend: Backend, size: tuple[int, int], setting: str) -> MutualExecution:
    """What runs the bundle's candidates on slices of `size` (rows, columns)."""
    return MutualExecution(CandidateExecution(bundle, backend, size, setting))


def has_query_table(bundle: Bundle) -> bool:
    """Whether the bundle carries a query table, so that one configuration can be chosen for a whole volume."""
    return FACT in bundle.facts


def query_table(bundle: Bundle) -> tuple[QueryRow, ...]:
    """The query table that the bundle carries: all configurations measured, not only those in its bank.

    Raises
    ------
    BundleError: the bundle has none, or a malformed one.
    """
    if not has_query_table(bundle):
        raise BundleError(
            f"Bundle {bundle.name!r} has no query table, from which one network is chosen for a whole volume: leave "
            "--per-volume (per_volume) out, or choose a bundle of MutualNet."
        )
    try:
        return from_plain(bundle.facts[FACT])
    except (KeyError, TypeError) as error:
        raise BundleError(
            f"The query table of bundle {bundle.name!r} cannot be read ({type(error).__name__}: {error}): expected "
            f"rows under facts.{FACT} of its bundle.json."
        ) from error


def front_curve(bundle: Bundle) -> tuple[CurvePoint, ...]:
    """What a budget for a whole volume buys: the front of the bank's configurations, costs of one slice.

    Raises
    ------
    BundleError: see `per_volume`.
    """
    front = pareto_front(_rows_of_bank(bundle))
    most = max(row.macs for row in _rows_of_bank(bundle))
    return tuple(CurvePoint(row.macs / most, float(row.macs), row.quality, dict(row.dice)) for row in front)


def per_volume(bundle: Bundle) -> Bundle:
    """The same bundle routed by its query table, as the paper does, instead of by a decision network.

    Raises
    ------
    BundleError: the table lacks a candidate of the bank.
    """
    rows = _rows_of_bank(bundle)
    return replace(bundle, router=RouterSpec(TABLE, {"quality": [row.quality for row in rows]}))


def one_for_all(run: Run, budget: Budget | None = None) -> dict[int, int]:
    """Pins for `run.plan` that give every slice of the head the one configuration that the query table chooses.

    Parameters
    ----------
    run: of a bundle made by `per_volume`.
    budget: for the whole volume; None for the best configuration, whatever it costs.

    Source: MutualNet: the table chooses one configuration for all inputs.
    Deviation: qualities are the table's; multiply-accumulates are those of the slices as the run sees them, and seconds
    those of this machine, measured once.

    Raises
    ------
    BudgetError: see `query_table.choose`.
    BundleError: see `per_volume`.
    """
    seen = np.flatnonzero(run.route().area > 0).tolist()
    rows = tuple(
        replace(row, macs=cost.macs) for row, cost in zip(_rows_of_bank(run.bundle), run.costs[1:], strict=True)
    )
    if budget is None:
        chosen = best(rows)
    elif budget.unit is Unit.SECONDS:
        chosen = choose(_timed(rows, run, seen), budget, len(seen))
    else:
        limit = budget.macs(run.study.slices, max(row.macs for row in rows))
        chosen = choose(rows, Budget(limit, Unit.MACS), len(seen))
    option = run.bundle.bank.options.index(chosen.name)
    return dict.fromkeys(seen, option)


def _timed(rows: Sequence[QueryRow], run: Run, seen: Sequence[int]) -> tuple[QueryRow, ...]:
    """The rows with what a slice takes on this machine, its share of the time before the first slice included."""
    seconds = [run.predicted_seconds(run.plan(pins=dict.fromkeys(seen, 1 + place))) for place in range(len(rows))]
    each = [1000 * total / max(1, len(seen)) for total in seconds]
    return tuple(replace(row, milliseconds=own) for row, own in zip(rows, each, strict=True))


def _rows_of_bank(bundle: Bundle) -> tuple[QueryRow, ...]:
    rows = {row.name: row for row in query_table(bundle)}
    missing = [name for name in bundle.bank.options[1:] if name not in rows]
    if missing:
        raise BundleError(f"The query table of bundle {bundle.name!r} has no row for {', '.join(missing)}.")
    return tuple(rows[name] for name in bundle.bank.options[1:])


def _qualities(bundle: Bundle) -> tuple[float, ...]:
    assert bundle.router is not None
    given = bundle.router.arguments.get("quality")
    count = len(bundle.bank.candidates)
    if not isinstance(given, Sequence) or len(given) != count or not all(isinstance(q, (int, float)) for q in given):
        raise BundleError(
            f"Bundle {bundle.name!r} is routed by a table with quality {given!r}: expected {count} numbers, one for "
            "each candidate."
        )
    return tuple(float(q) for q in given)
