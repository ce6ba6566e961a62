"""The result: labels, what was decided on each slice, and what it cost."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DynamicSegLib.cleaning import Changes
from DynamicSegLib.cost import Cost
from DynamicSegLib.study import Study


@dataclass(frozen=True)
class Decision:
    """What was done on one slice and what it cost.

    Parameters
    ----------
    slice: index along the slice axis of the reference volume's own grid.
    option: 0 for skip, else the candidate's place in the bank; `candidate` is its name.
    macs, paper_flops, milliseconds: what this slice took, the router's look at it included; two units of cost as in
        `cost.py`. Results of other options that were replaced are not in it.
    quality: the router's prediction for each option, by name.
    extra: what the method adds (crop box, bits, width, resolution).
    """

    slice: int
    option: int
    candidate: str
    macs: int
    paper_flops: int
    milliseconds: float
    quality: Mapping[str, float]
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Segmentation:
    """A segmented study.

    Parameters
    ----------
    study: what was segmented.
    labels: uint8 `[slice, row, column]` on the working grid, values as in files.
    decisions: one a slice, in the order of the working grid.
    options: names of all options, skip first.
    label_names: name of each label value.
    asked_macs: the budget in macs, or None.
    router: cost of the router over all slices; contained in the decisions.
    seconds: by phase (`route`, `run`, and what the caller measured besides).
    facts: bundle, method, device, backend, precision, versions.
    cleaned: what the bundle's cleaning changed in the networks' labels; None where nothing was cleaned.
    second_looks: slices that were to be skipped and were run after all, for what was found beside them; indices along
        the slice axis of the reference volume's own grid.
    """

    study: Study
    labels: NDArray[np.uint8]
    decisions: tuple[Decision, ...]
    options: tuple[str, ...]
    label_names: Mapping[int, str]
    asked_macs: int | None
    router: Cost
    seconds: Mapping[str, float]
    facts: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    cleaned: Changes | None = None
    second_looks: tuple[int, ...] = ()

    def to_native(self) -> sitk.Image:
        """Labels as a uint8 image on the reference volume's own grid."""
        return self._native

    @cached_property
    def _native(self) -> sitk.Image:
        return self.study.to_native(self.labels)

    @property
    def spent(self) -> Cost:
        """All that was spent, the router included; both units of `cost.py`."""
        return Cost(
            sum(decision.macs for decision in self.decisions),
            sum(decision.paper_flops for decision in self.decisions),
        )

    @property
    def activation_ratio(self) -> dict[str, float]:
        """Share of the slices that got each option (Med-DANet, Fig. 5)."""
        counts = Counter(decision.candidate for decision in self.decisions)
        return {name: counts[name] / len(self.decisions) for name in self.options}

    @cached_property
    def volumes_ml(self) -> dict[str, float]:
        """Millilitres of each label, by name: of the voxels on the reference volume's own grid, as in files."""
        native = self.to_native()
        voxel_ml = float(np.prod(native.GetSpacing())) / 1000
        labels = sitk.GetArrayViewFromImage(native)
        return {name: np.count_nonzero(labels == value) * voxel_ml for value, name in self.label_names.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user: what was looked at twice, and what cleaning changed."""
        notes = []
        if self.second_looks:
            count = len(self.second_looks)
            notes.append(
                f"{count} {'slice' if count == 1 else 'slices'} that the decision network skipped "
                f"{'was' if count == 1 else 'were'} run after all: a large finding lies beside "
                f"{'it' if count == 1 else 'them'}."
            )
        if self.cleaned is None:
            return tuple(notes)
        if self.cleaned.removed_ml:
            notes.append(f"{_millilitres(self.cleaned.removed_ml)} in small islands were removed.")
        for value, volume in self.cleaned.relabelled_ml.items():
            notes.append(f"{self.label_names[value]}: {_millilitres(volume)} were too little, and were relabelled.")
        return tuple(notes)

    def summary(self) -> dict[str, Any]:
        """What `summary.json` holds; the command line adds peak memory and the seconds of reading and writing."""
        warnings = list(self.warnings)
        if not self.labels.any():
            warnings.append("0 voxels were found: the segmentation is empty.")
        return {
            **self.facts,
            "slices": len(self.decisions),
            "macs": {"asked": self.asked_macs, "spent": self.spent.macs, "router": self.router.macs},
            "paper_flops": {"spent": self.spent.paper_flops},
            "activation_ratio": self.activation_ratio,
            "volumes_ml": self.volumes_ml,
            "cleaning": self._cleaning_in_plain(),
            "second_looks": list(self.second_looks),
            "notes": list(self.notes),
            "seconds": dict(self.seconds),
            "warnings": warnings,
        }

    def _cleaning_in_plain(self) -> dict[str, Any] | None:
        if self.cleaned is None:
            return None
        relabelled = {self.label_names[value]: volume for value, volume in self.cleaned.relabelled_ml.items()}
        return {"removed_ml": self.cleaned.removed_ml, "relabelled_ml": relabelled}


def _millilitres(volume: float) -> str:
    return f"{volume:.2f} mL" if volume >= 0.1 else f"{volume:.2g} mL"
