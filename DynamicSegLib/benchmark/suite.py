"""Which jobs make up the benchmark, and running them one after the other in fresh processes."""

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from DynamicSegLib.backends import openvino_backend
from DynamicSegLib.bundle import Bundle
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
class Measurement:
    """One line of the benchmark: a job, and how often it is run; the median run counts."""

    group: str
    title: str
    job: Mapping[str, Any]
    repeats: int = 1


def backends() -> list[tuple[str, str]]:
    """Backend and precision pairs that this machine can run."""
    pairs = [("torch", "fp32")]
    if openvino_backend.is_installed():
        pairs.append(("openvino", "fp32"))
        if openvino_backend.has_native_bf16():
            pairs.append(("openvino", "bf16"))
    return pairs


def measurements(case: Path, bundle: Path, quick: bool, peers: Iterable[str]) -> list[Measurement]:
    """All measurements; `quick` leaves out what takes minutes."""
    common = {"case": str(case), "bundle": str(bundle)}
    repeats = 1 if quick else 3
    pairs = backends()
    best: dict[str, Any] = {"backend": pairs[-1][0], "precision": pairs[-1][1]}

    def whole(group: str, title: str, repeats: int = 1, **arguments: Any) -> Measurement:
        return Measurement(group, title, {"kind": "whole_case", **common, **arguments}, repeats)

    jobs = [Measurement("peak", "matmul", {"kind": "peaks"})]
    # Of every backend; what they compile here is on disk for the cases.
    for pair in [*pairs, ("published", "fp32")]:
        arguments = {"backend": pair[0], "precision": pair[1], "batches": 1 if quick else 5}
        jobs.append(Measurement("candidates", " ".join(pair), {"kind": "candidates", **common, **arguments}))
    jobs.append(whole("case", "default rule", repeats))
    shares = QUICK_BUDGETS if quick else BUDGETS
    jobs += [whole("case", f"budget {share} %", repeats, budget=f"{share}%", **best) for share in shares]
    jobs += [
        whole("case", f"budget 40 %, {' '.join(pair)}", repeats, budget="40%", backend=pair[0], precision=pair[1])
        for pair in pairs[:-1]
    ]
    jobs.append(whole("case", "costliest candidate on every slice", static=True, **best))
    slow = {"part": _SLOW_PART, "static": True}
    jobs.append(whole("case", "costliest, sliding windows", setting="window", **slow, **best))
    jobs.append(whole("case", "published way, default rule", backend="published", part=_SLOW_PART if quick else 1))
    jobs.append(whole("case", "published way, costliest on every slice", backend="published", **slow))
    for name in peers:
        job = {"kind": "peer", **common, "name": name, "most_windows": 1 if quick else 2}
        jobs.append(Measurement("case", name, job))
    stacks = list(QUICK_STACKS if quick else STACKS)
    jobs.append(Measurement("scaling", "stacks", {"kind": "scaling", **common, "slices": stacks, "budget": "20%"}))
    return jobs


def run_all(jobs: Iterable[Measurement], threads: int) -> Iterator[dict[str, Any]]:
    """Run the measurements; each result carries group, title and repeats.

    Raises
    ------
    DynamicSegError: a measurement failed; the message ends with the process's own.
    """
    for job in jobs:
        runs = [_in_process(job, threads) for _ in range(job.repeats)]
        middle = statistics.median_low([run["process_seconds"] for run in runs])
        chosen = next(run for run in runs if run["process_seconds"] == middle)
        yield {"group": job.group, "title": job.title, "repeats": job.repeats, **chosen}


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


def machine_facts(bundle: Bundle, case: Path | None) -> dict[str, Any]:
    """What the numbers belong to."""
    cpu = openvino_backend.machine() if openvino_backend.is_installed() else platform.processor() or platform.machine()
    return {
        "bundle": bundle.name,
        "case": "phantom" if case is None else "a case of the user's",
        "cpu": cpu,
        "threads": thread_count(),
        "system": platform.platform(terse=True),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }
