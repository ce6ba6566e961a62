"""Compiling a bundle's networks ahead of time in a child process, so that a window that waits for it stays live.

Compiled models stay on disk, so it happens once for a bundle, a size of slice and extent, and a machine.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

import numpy as np
import SimpleITK as sitk

from DynamicSegLib.backends import openvino_models
from DynamicSegLib.backends.choice import has_cuda
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.extent import Extent
from DynamicSegLib.files import keep_text
from DynamicSegLib.geometry import place_working_grid
from DynamicSegLib.resources import cache_folder
from DynamicSegLib.study import Study

_SLICES = 24  # enough for the check of a lower precision, and quickly written


class WarmUp:
    """A child process that makes and keeps every compiled model that a run of `bundle` on `study` and `device` needs.

    As a context it ends the child when it is left early.
    """

    def __init__(self, study: Study, bundle: Bundle, device: str = "auto") -> None:
        from DynamicSegLib.methods.registry import extent_of

        self._study, self._bundle, self._device = study, bundle, device
        self._extent = extent_of(study, bundle)
        self._child: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    @property
    def needed(self) -> bool:
        """Whether OpenVINO will run the bundle on this machine and its models have not been made yet."""
        if not self._bundle.checksum or self._bundle.folder is None or not openvino_models.is_installed():
            return False
        if self._device.startswith("cuda") or (self._device == "auto" and has_cuda()):
            return False
        return not _marker(self._bundle, self._extent).is_file()

    @property
    def running(self) -> bool:
        """Whether the child is still at work."""
        return self._child is not None and self._child.poll() is None

    def __enter__(self) -> "WarmUp":
        self._folder = Path(tempfile.mkdtemp(prefix="dynamicseg-"))
        chosen = np.unique(np.linspace(0, self._study.slices - 1, _SLICES).round().astype(int))
        np.save(self._folder / "slices.npy", self._study.volumes[:, chosen])
        # They are so far apart: candidates that see neighbours see them as they would in a scan of thick slices.
        spacing_mm = self._study.spacing_mm[0] * self._study.slices / len(chosen)
        # Inside Slicer, sys.executable may be the application; PythonSlicer is its plain interpreter.
        python = shutil.which("PythonSlicer") or sys.executable
        library = str(Path(__file__).resolve().parents[1])
        path = os.pathsep.join(part for part in (library, os.environ.get("PYTHONPATH")) if part)
        self._child = subprocess.Popen(
            [
                *(python, "-m", __name__, str(self._bundle.folder), str(self._folder / "slices.npy")),
                *(json.dumps(asdict(self._extent)), str(spacing_mm)),
            ],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # On Windows, no console window beside Slicer's.
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None and self._child.stdin is not None:
            # The child ends when its input does: inside Slicer the process at hand is a launcher, whose death alone
            # would leave the interpreter behind.
            self._child.stdin.close()
            try:
                self._child.wait(timeout=1)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def make_ready(bundle_folder: str, slices_file: str, extent_json: str, spacing_mm: str) -> None:
    """What the child does: compile the router and every candidate as a run would, and leave a mark.

    spacing_mm: distance of slices.
    """
    from DynamicSegLib.bundles import load_bundle
    from DynamicSegLib.methods.registry import start_run

    bundle = load_bundle(bundle_folder)
    volumes = np.load(slices_file)
    _, slices, rows, columns = volumes.shape
    reference = sitk.Image([columns, rows, slices], sitk.sitkUInt8)
    reference.SetSpacing((1.0, 1.0, float(spacing_mm)))
    grid = place_working_grid(reference, "axial", (1.0, 1.0), (rows, columns))
    # Of some slices only, so that it cannot be found anew.
    extent = Extent(**{name: tuple(pair) for name, pair in json.loads(extent_json).items()})
    run = start_run(Study(volumes, bundle.input, grid), bundle, device="cpu", extent=extent)
    run.route()
    for option in range(1, len(run.costs)):
        run.execution.prepare(option)
    keep_text(_marker(bundle, extent), "")


def _marker(bundle: Bundle, extent: Extent) -> Path:
    words = [bundle.checksum, extent.slice_size, extent.size, openvino_models.machine()]
    return cache_folder() / "warm" / hashlib.sha256(repr(words).encode()).hexdigest()[:32]


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    make_ready(*sys.argv[1:])
