"""One segmentation of volumes in the scene, in short steps: a panel pumps them, a script exhausts them.

    session = SceneSession(volumes, bundle)
    for progress in session.prepare():              # warnings are known afterwards
        ...
    for progress in session.segment(budget):        # the overlay grows in the slice views
        ...
    session.result, session.segmentation

Closing the generator of `segment` before its end, or an error inside it, leaves the scene as it was before.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DynamicSegLib.budget import Budget, Plan, Unit
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.engine import Run
from DynamicSegLib.errors import CancelledError, InputError
from DynamicSegLib.methods import mutualnet
from DynamicSegLib.scene.background import in_background
from DynamicSegLib.scene.placement import free_name
from DynamicSegLib.scene.result import ResultNodes, publish, republish
from DynamicSegLib.scene.segments import SegmentationView
from DynamicSegLib.scene.volumes import image_from_volume_node, reference_of, state_of
from DynamicSegLib.segmentation import Segmentation
from DynamicSegLib.study import Study, studying
from DynamicSegLib.warm_up import WarmUp

Node = Any
Result = TypeVar("Result")

# Redrawing the overlay more often than this would cost more than the segmentation itself.
REDRAW_SECONDS = 0.25


@dataclass(frozen=True)
class Settings:
    """How to run.

    Parameters
    ----------
    device, backend: as in `backends.choice`.
    live: a panel waits for the steps: one slice a step, and networks are compiled in a child process the first time.
    per_volume: one configuration for all slices, by the bundle's query table (MutualNet).
    """

    device: str = "auto"
    backend: str = "auto"
    live: bool = False
    per_volume: bool = False


@dataclass(frozen=True)
class Progress:
    """What is being done, in words for the user, and how far it is: 0..1 of the whole."""

    message: str
    share: float


class SceneSession:
    """Volumes of one patient, a bundle, and everything computed for them so far.

    Parameters
    ----------
    volumes: one volume node for each modality of the bundle.
    mask: brain mask, a label map or scalar volume node, or None.

    Raises
    ------
    BundleError: `settings.per_volume` is asked for, and the bundle has no query table.
    """

    def __init__(
        self, volumes: Mapping[str, Node], bundle: Bundle, mask: Node | None = None, settings: Settings | None = None
    ) -> None:
        self.settings = settings or Settings()
        self.bundle = mutualnet.per_volume(bundle) if self.settings.per_volume else bundle
        self.volumes, self.mask = dict(volumes), mask
        self.study: Study | None = None
        self.run: Run | None = None
        self.reference: Node | None = None
        self.result: ResultNodes | None = None
        self.segmentation: Segmentation | None = None
        self._shown: NDArray[np.uint8] | None = None
        self._read: list[tuple[Node, tuple[int, bytes]]] = []

    @property
    def outdated(self) -> bool:
        """Whether a volume or the mask was edited or moved since it was read: a new session has to be made.

        Raises
        ------
        InputError: see `volumes.state_of`.
        """
        return any(state_of(node) != state for node, state in self._read)

    def prepare(self) -> Iterator[Progress]:
        """Bring the volumes onto one grid. `study` and its warnings are there afterwards.

        Raises
        ------
        InputError: see `volumes.image_from_volume_node` and `study.studying`.
        """
        if self.study is not None:
            return
        self._read.clear()  # of an attempt that was cancelled
        images: dict[str, sitk.Image] = {}
        for name, node in self.volumes.items():
            yield Progress(f"Reading {name} from '{node.GetName()}'", 0.02 * len(images))
            images[name] = self._image(node)
        mask = None if self.mask is None else self._image(self.mask)
        steps = studying(images, self.bundle.input, mask)
        while self.study is None:
            try:
                yield Progress(next(steps), 0.08)
            except StopIteration as end:
                self.study = end.value
        assert self.study is not None
        self.reference = reference_of(self.study, self.volumes)

    def segment(
        self,
        budget: Budget | None = None,
        alpha: float | None = None,
        pins: Mapping[int, int] | None = None,
        name: str | None = None,
    ) -> Iterator[Progress]:
        """Plan, run, and add a new segmentation with its table and chart.

        `result` and `segmentation` are set at the end.

        Parameters
        ----------
        budget, alpha: as in `Run.plan`.
        pins: option by slice index of the volume, chosen by the user.
        name: of the segmentation node; by default after the reference volume.

        Raises
        ------
        DynamicSegError: input, bundle, backend or budget; the scene is left as it was.
        """
        yield from self._routed()
        study, run = self._ready()
        plan = yield from self._planned(run, budget, alpha, pins)
        view = SegmentationView.create(
            self.reference, self.bundle.labels, free_name(name or f"{self._scan_name()} DynamicSeg")
        )
        finished = False
        try:
            labels = np.zeros(study.grid.shape, np.uint8)
            yield from self._executed(run, plan, labels, view)
            yield Progress("Writing the table and the chart", 0.98)
            self.result = publish(view, self.reference, self._finish(run, view))
            finished = True
        finally:
            if not finished:
                view.remove()

    def update(
        self, budget: Budget | None = None, alpha: float | None = None, pins: Mapping[int, int] | None = None
    ) -> Iterator[Progress]:
        """Run only slices whose option changed, and rewrite only those in the result shown last.

        Where the segments were edited since, or the result was deleted, a new segmentation is added instead, so that
        nobody's work is lost.
        """
        view = self._untouched_view()
        if view is None or self.result is None or self._shown is None:
            yield from self.segment(budget, alpha, pins)
            return
        _, run = self._ready()
        before = self._shown
        finished = False
        try:
            plan = yield from self._planned(run, budget, alpha, pins)
            yield from self._executed(run, plan, before.copy(), view)
            republish(self.result, self._finish(run, view))
            finished = True
        finally:
            if not finished:
                view.write(self._native(before))

    def _image(self, node: Node) -> sitk.Image:
        self._read.append((node, state_of(node)))
        return image_from_volume_node(node)

    def _routed(self) -> Iterator[Progress]:
        yield from self.prepare()
        if self.run is None:
            yield from self._warmed_up()
            loading = Progress("Loading the networks (the first time on this computer takes longer)", 0.12)
            yield loading
            self.run = yield from self._aside(self._started, loading)
        study, run = self._ready()
        for looked_at in run.routing():
            yield Progress("Looking at every slice", 0.16 + 0.05 * looked_at / study.slices)

    def _started(self) -> Run:
        from DynamicSegLib.methods.registry import start_run

        assert self.study is not None
        return start_run(
            self.study,
            self.bundle,
            device=self.settings.device,
            backend=self.settings.backend,
            short_steps=self.settings.live,
        )

    def _aside(self, work: Callable[[], Result], progress: Progress) -> Generator[Progress, None, Result]:
        """Work that is one long step: in the background where a panel waits."""
        if self.settings.live:
            return (yield from in_background(work, progress))
        return work()

    def _warmed_up(self) -> Iterator[Progress]:
        """Have the networks compiled elsewhere: in this process it would stop the window for half a minute."""
        if not self.settings.live or self.settings.backend == "torch":
            return
        assert self.study is not None
        warm_up = WarmUp(self.study, self.bundle, self.settings.device)
        # Asking loads OpenVINO, which takes a noticeable time.
        if not (yield from in_background(lambda: warm_up.needed, Progress("Loading the networks", 0.1))):
            return
        with warm_up:
            while warm_up.running:
                yield Progress("Preparing the networks for this computer (once, about half a minute)", 0.1)
                time.sleep(0.02)

    def _planned(
        self, run: Run, budget: Budget | None, alpha: float | None, pins: Mapping[int, int] | None
    ) -> Generator[Progress, None, Plan]:
        planning = Progress("Choosing what each slice gets", 0.2)
        if budget is not None and budget.unit is Unit.SECONDS and not run.calibration.known:
            planning = Progress("Measuring how fast this computer is (once)", 0.2)
        yield planning
        return (yield from self._aside(lambda: run.plan(budget, alpha, self._pins(run, budget, pins)), planning))

    def _executed(self, run: Run, plan: Plan, labels: NDArray[np.uint8], view: SegmentationView) -> Iterator[Progress]:
        options, redrawn = self.bundle.bank.options, 0.0
        for option in sorted({int(option) for option in plan.options} - {0}):
            preparing = Progress(f"Preparing {options[option]}", 0.21)
            yield preparing
            yield from self._aside(partial(run.execution.prepare, option), preparing)
        yield Progress("Starting with the first slices", 0.22)
        for step in run.execute(plan):
            if not view.alive:
                raise CancelledError("The segmentation was deleted while it was being filled: the run was stopped.")
            for index in step.slices:
                labels[index] = run.labels_of(index)
            if step.option is not None and time.perf_counter() - redrawn > REDRAW_SECONDS:
                view.write(self._native(labels))
                redrawn = time.perf_counter()
            what = "" if step.option is None else f" ({options[step.option]})"
            yield Progress(f"Slice {step.done} of {step.total}{what}", 0.22 + 0.74 * step.done / step.total)

    def _finish(self, run: Run, view: SegmentationView) -> Segmentation:
        self.segmentation = run.segmentation()
        self._shown = self.segmentation.labels
        view.write(self._native(self._shown))
        return self.segmentation

    def _ready(self) -> tuple[Study, Run]:
        if self.study is None or self.run is None:
            raise InputError("Nothing was segmented yet: press Apply first.")
        return self.study, self.run

    def _native(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        assert self.study is not None
        return sitk.GetArrayFromImage(self.study.to_native(labels))

    def _pins(self, run: Run, budget: Budget | None, pins: Mapping[int, int] | None) -> dict[int, int]:
        """What the plan is not free to choose, by working slice: the user's pins, over the choice for all slices."""
        assert self.study is not None
        chosen = mutualnet.one_for_all(run, budget) if self.settings.per_volume else {}
        # Mirroring an index is its own inverse, so the way to the native grid is also the way back.
        return chosen | {self.study.native_slice_index(index): option for index, option in (pins or {}).items()}

    def _scan_name(self) -> str:
        assert self.reference is not None
        return str(self.reference.GetName())

    def _untouched_view(self) -> SegmentationView | None:
        if self.result is None or self._shown is None:
            return None
        view = SegmentationView.adopt(self.result.segmentation)
        return view if view is not None and view.shows(self._native(self._shown)) else None
