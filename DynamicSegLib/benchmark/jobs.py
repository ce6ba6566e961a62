"""What is measured, each in a process of its own so that memory and start-up are its own too."""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from DynamicSegLib.backends.base import Backend
from DynamicSegLib.backends.choice import load_libraries
from DynamicSegLib.benchmark.published import PublishedBackend
from DynamicSegLib.budget import Budget, Plan
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.bundles import load_bundle
from DynamicSegLib.engine import Run
from DynamicSegLib.extent import Extent
from DynamicSegLib.geometry import only_grid
from DynamicSegLib.methods.registry import method_of, start_run
from DynamicSegLib.reading import read_case
from DynamicSegLib.reporting.chart import import_figure
from DynamicSegLib.reporting.machine import peak_memory_mb
from DynamicSegLib.reporting.tables import write_results
from DynamicSegLib.study import Study, build_study

Result = dict[str, Any]


def run_job(job: Mapping[str, Any]) -> Result:
    """Do one job, a plain mapping with `kind` and its arguments; the result adds the process's peak memory."""
    arguments = dict(job)
    result = _KINDS[arguments.pop("kind")](**arguments)
    return {**result, "peak_memory_mb": round(peak_memory_mb(), 1)}


def whole_case(
    case: str,
    bundle: str,
    budget: str | None = None,
    static: bool = False,
    backend: str = "auto",
    precision: str = "auto",
    device: str = "cpu",
    setting: str = "whole",
    whole_slices: bool = False,
    part: int = 1,
) -> Result:
    """Files in to files out, with seconds by phase.

    Parameters
    ----------
    budget: as on the command line; None is the bundle's own rule.
    static: the costliest candidate on every slice instead.
    backend: `published` is the published way; else as on the command line.
    whole_slices: candidates see all of each slice, not only the extent (see `extent`); always so the published way.
    part: run one in `part` slices of every option only, and scale the seconds; for what takes minutes.
    """
    started = time.perf_counter()
    with ThreadPoolExecutor(1) as beside:
        libraries = beside.submit(load_libraries, backend)
        beside.submit(import_figure)
        loaded = load_bundle(bundle)
        images = read_case(case, loaded.input.modalities)
        read = time.perf_counter()
        study = build_study(images, loaded.input)
        del images
        prepared = time.perf_counter()
        libraries.exception()  # waits
        run = _start(study, loaded, backend, precision, device, setting, whole_slices)
        plan = _plan(run, budget, static)
        scale = _execute(run, plan, part)
    writing = time.perf_counter()
    segmentation = run.segmentation()
    with tempfile.TemporaryDirectory() as folder:
        write_results(segmentation, Path(folder))
    ended = time.perf_counter()
    engine = segmentation.seconds
    seconds = {
        "read": read - started,
        "prepare": prepared - read,
        "start": writing - prepared - engine["route"] - engine["run"],
        "route": engine["route"],
        "run": engine["run"] * scale,
        "write": ended - writing,
    }
    facts = segmentation.facts
    options = plan.options if part > 1 else np.array([decision.option for decision in segmentation.decisions])
    return {
        "seconds": {**seconds, "total": sum(seconds.values())},
        "macs": run.router_cost.macs * study.slices + int(np.array([c.macs for c in run.costs])[options].sum()),
        "options": np.bincount(options, minlength=len(run.costs)).tolist(),
        "slices": study.slices,
        "bundle": loaded.name,
        "part": part,
        **{key: facts[key] for key in ("backend", "device", "precision", "choice_of_backend")},
    }


def _start(
    study: Study,
    bundle: Bundle,
    backend: str = "auto",
    precision: str = "auto",
    device: str = "cpu",
    setting: str = "whole",
    whole_slices: bool = False,
) -> Run:
    size = study.grid.shape[1:]
    if backend != "published":
        extent = Extent.whole(size) if whole_slices else None
        return start_run(
            study, bundle, backend=backend, precision=precision, setting=setting, device=device, extent=extent
        )
    method = method_of(bundle)
    published: Backend = PublishedBackend()
    execution = method.make_execution(bundle, published, size, setting)
    return Run(study, bundle, method.make_router(bundle, published, size), published, setting, 1, execution)


def _plan(run: Run, budget: str | None, static: bool) -> Plan:
    if static:
        return run.plan(pins=dict.fromkeys(range(run.study.slices), len(run.costs) - 1))
    return run.plan(None if budget is None else Budget.parse(budget))


def _execute(run: Run, plan: Plan, part: int) -> float:
    """Run a plan as a user does, or one in `part` slices of each option; returns by what to multiply the seconds."""
    scale = 1.0
    if part > 1:
        chosen = np.zeros_like(plan.options)
        for option in range(1, len(run.costs)):
            where = np.flatnonzero(plan.options == option)[::part]
            chosen[where] = option
        costs = np.array([cost.macs for cost in run.costs], np.float64)
        scale = float(costs[plan.options].sum() / costs[chosen].sum()) if chosen.any() else 1.0
        plan = run.plan(pins=dict(enumerate(chosen.tolist())))
    for _ in run.execute(plan):
        pass
    return scale


def candidates(case: str, bundle: str, backend: str, precision: str, batches: int, device: str = "cpu") -> Result:
    """Milliseconds a slice of each candidate and of the router: the median of `batches`, after one to warm up.

    Candidates run on the case's extent, the router and the published way on whole slices.
    """
    loaded = load_bundle(bundle)
    study = build_study(read_case(case, loaded.input.modalities), loaded.input)
    run = _start(study, loaded, backend, precision, device)
    middle = study.slices // 2
    first = max(0, min(middle - run.batch // 2, study.slices - run.batch))
    slices = np.ascontiguousarray(study.volumes[:, first : first + run.batch].swapaxes(0, 1))

    def milliseconds(call: Any) -> float:
        call()
        times = []
        for _ in range(batches):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
        return 1000 * statistics.median(times) / len(slices)

    rows = [
        {"candidate": "router", "macs": run.router_cost.macs, "ms": milliseconds(lambda: run.router.predict(slices))}
    ]
    for option in range(1, len(run.costs)):
        run.execution.prepare(option)
        seen = run.seen(option, range(first, first + len(slices)))
        ms = milliseconds(lambda option=option, seen=seen: run.execution.run(option, seen))
        rows.append({"candidate": loaded.bank.options[option], "macs": run.costs[option].macs, "ms": ms})
    facts = run.backend.facts
    return {
        "candidates": rows,
        "bundle": loaded.name,
        "backend": facts.name,
        "precision": facts.precision,
        "device": facts.device,
    }


def scaling(case: str, bundle: str, slices: list[int], budget: str) -> Result:
    """Predicted and real seconds of stacks of other heights, made by repeating the case's slices."""
    loaded = load_bundle(bundle)
    study = build_study(read_case(case, loaded.input.modalities), loaded.input)
    points = []
    for count in slices:
        run = _start(_stacked(study, count), loaded)
        plan = run.plan(Budget.parse(budget))
        predicted = run.predicted_seconds(plan)
        started = time.perf_counter()
        for _ in run.execute(plan):
            pass
        took = run.segmentation().seconds
        around = took["route"] + time.perf_counter() - started
        points.append(
            {"slices": count, "predicted": predicted, "seconds": took["route"] + took["run"], "around": around}
        )
    return {"budget": budget, "points": points}


def _stacked(study: Study, count: int) -> Study:
    indices = np.resize(np.arange(study.slices), count)
    columns, rows, _ = study.grid.frame.GetSize()
    frame = only_grid((columns, rows, count), study.grid.frame)
    return replace(study, volumes=study.volumes[:, indices], grid=replace(study.grid, frame=frame, native=frame))


def peer(case: str, bundle: str, name: str, most_windows: int) -> Result:
    """A 3D peer on the same case: reading and preparing are ours, so that only the networks differ."""
    from DynamicSegLib.benchmark.peers import run_peer

    loaded = load_bundle(bundle)
    started = time.perf_counter()
    images = read_case(case, loaded.input.modalities)
    read = time.perf_counter()
    study = build_study(images, loaded.input)
    del images
    prepared = time.perf_counter()
    result = run_peer(name, study, most_windows)
    seconds = {"read": read - started, "prepare": prepared - read, **result["seconds"]}
    result["seconds"] = {**seconds, "total": sum(seconds.values())}
    return {**result, "backend": "torch", "precision": "fp32", "device": "cpu"}


def peaks() -> Result:
    """The machine's matmul rates; those of a GPU are named with the device."""
    from DynamicSegLib.benchmark.peak import matmul_peaks

    return {"macs_per_second": matmul_peaks()}


_KINDS: Mapping[str, Callable[..., Result]] = {
    "whole_case": whole_case,
    "candidates": candidates,
    "scaling": scaling,
    "peer": peer,
    "peaks": peaks,
}
