"""Which jobs make up the benchmark, and running them one after the other in fresh processes."""

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from DynamicSegLib.backends import openvino_models
from DynamicSegLib.backends.choice import has_cuda
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.bundles import load_bundle
from DynamicSegLib.errors import DynamicSegError
from DynamicSegLib.reporting.machine import versions
from DynamicSegLib.threads import thread_count

QUICK_BUDGETS = (10, 40, 100)
BUDGETS = (5, 10, 20, 40, 60, 80, 100)
QUICK_STACKS = (25, 50)
STACKS = (25, 50, 100, 155, 250, 500, 1000)
# Of slow ways one slice in so many is run.
_SLOW_PART = 5


@dataclass(frozen=True)
class Way:
    """Where and how networks run."""

    backend: str
    precision: str
    device: str = "cpu"

    def __str__(self) -> str:
        words = (self.backend, self.precision) if self.device == "cpu" else (self.backend, self.precision, self.device)
        return " ".join(words)


@dataclass(frozen=True)
class Measurement:
    """One line of the benchmark: a job, and how often it is run; the median run counts.

    share: the budget in percent, where the line is a point of time against budget.
    """

    group: str
    title: str
    job: Mapping[str, Any]
    repeats: int = 1
    share: int | None = None


def ways(bundle: Path) -> list[Way]:
    """All that this machine can run a bundle's candidates in, what `auto` prefers last."""
    found = [Way("torch", "fp32")]
    if openvino_models.is_installed():
        if load_bundle(bundle).int8:
            found.append(Way("openvino", "int8"))
        found.append(Way("openvino", "fp32"))
        if openvino_models.has_bf16():
            found.append(Way("openvino", "bf16"))
    if has_cuda():
        found += [Way("torch", precision, "cuda") for precision in ("fp32", "bf16")]
    return found


def measurements(
    case: Path,
    bundles: Sequence[Path],
    quick: bool,
    peers: Iterable[str],
    large: tuple[Path, Path] | None = None,
) -> list[Measurement]:
    """All measurements; `quick` leaves out what takes minutes.

    Parameters
    ----------
    bundles: the first is measured in every way, the others in the fastest.
    large: case and bundle of a large volume.
    """
    first, *others = bundles
    found = ways(first)
    repeats = 1 if quick else 3
    jobs = [Measurement("peak", "matmul", {"kind": "peaks"})]
    # Of every way; what they compile here is on disk for the cases.
    jobs += [_candidates(case, first, way, quick) for way in (*found, Way("published", "fp32"))]
    jobs.append(_whole(case, first, "default rule", repeats))
    jobs += _budgets(case, first, found[-1], quick)
    jobs += [_whole(case, first, f"budget 40 %, {way}", repeats, **asdict(way), budget="40%") for way in found[:-1]]
    jobs += _other_ways(case, first, found[-1], quick)
    for bundle in others:
        jobs.append(_candidates(case, bundle, found[-1], quick))
        jobs.append(_whole(case, bundle, f"{bundle.name}, default rule", repeats))
        jobs += _budgets(case, bundle, found[-1], quick, f"{bundle.name}, ")
    for name in peers:
        job = {"kind": "peer", **_common(case, first), "name": name, "most_windows": 1 if quick else 2}
        jobs.append(Measurement("case", name, job))
    if large is not None:
        job = {"kind": "whole_case", **_common(*large), **asdict(found[-1])}
        jobs.append(Measurement("large", "1,000 slices of 512 x 512, one modality", job))
    stacks = {"slices": list(QUICK_STACKS if quick else STACKS), "budget": "20%"}
    jobs.append(Measurement("scaling", "stacks", {"kind": "scaling", **_common(case, first), **stacks}))
    return jobs


def _common(case: Path, bundle: Path) -> dict[str, str]:
    return {"case": str(case), "bundle": str(bundle)}


def _whole(
    case: Path, bundle: Path, title: str, repeats: int = 1, share: int | None = None, **arguments: Any
) -> Measurement:
    return Measurement("case", title, {"kind": "whole_case", **_common(case, bundle), **arguments}, repeats, share)


def _candidates(case: Path, bundle: Path, way: Way, quick: bool) -> Measurement:
    job = {"kind": "candidates", **_common(case, bundle), **asdict(way), "batches": 1 if quick else 5}
    return Measurement("candidates", f"{bundle.name}, {way}", job)


def _budgets(case: Path, bundle: Path, way: Way, quick: bool, prefix: str = "") -> list[Measurement]:
    """Time against budget."""
    return [
        _whole(
            case,
            bundle,
            f"{prefix}budget {share} %",
            1 if quick else 3,
            share,
            **asdict(way),
            budget=f"{share}%",
        )
        for share in (QUICK_BUDGETS if quick else BUDGETS)
    ]


def _other_ways(case: Path, bundle: Path, way: Way, quick: bool) -> list[Measurement]:
    """What the budget, the extent and the engine are worth: without each of them."""
    best = asdict(way)
    slow: dict[str, Any] = {"part": _SLOW_PART, "static": True}
    published: dict[str, Any] = {"backend": "published", "part": _SLOW_PART if quick else 1}
    return [
        _whole(case, bundle, "default rule on whole slices", whole_slices=True, **best),
        _whole(case, bundle, "costliest candidate on every slice", static=True, **best),
        _whole(case, bundle, "costliest, sliding windows", setting="window", **slow, **best),
        _whole(case, bundle, "published way, default rule", **published),
        _whole(case, bundle, "published way, costliest on every slice", **{**published, **slow}),
    ]


def run_all(jobs: Iterable[Measurement], threads: int) -> Iterator[dict[str, Any]]:
    """Run the measurements; each result carries group, title, repeats and share.

    One that fails ends nothing: its result is `error`, what the process said last.
    """
    for job in jobs:
        line = {"group": job.group, "title": job.title, "repeats": job.repeats, "share": job.share}
        try:
            runs = [_in_process(job, threads) for _ in range(job.repeats)]
        except DynamicSegError as error:
            yield {**line, "error": str(error)}
            continue
        middle = statistics.median_low([run["process_seconds"] for run in runs])
        chosen = next(run for run in runs if run["process_seconds"] == middle)
        yield {**line, **chosen}


def _in_process(measurement: Measurement, threads: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "DynamicSegLib.benchmark.worker", json.dumps(measurement.job), str(threads)]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise DynamicSegError(f"Measuring {measurement.title!r} ended with exit code {done.returncode}: {last}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**result, "process_seconds": seconds}


def machine_facts(bundles: Iterable[Bundle], case: Path | None) -> dict[str, Any]:
    """What the numbers belong to."""
    cpu = openvino_models.machine() if openvino_models.is_installed() else platform.processor() or platform.machine()
    return {
        "bundles": ", ".join(bundle.name for bundle in bundles),
        "case": "phantom" if case is None else "a case of the user's",
        "cpu": cpu,
        "threads": thread_count(),
        "system": platform.platform(terse=True),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }
