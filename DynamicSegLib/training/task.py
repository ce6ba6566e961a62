"""The task that a bundle is trained for: what goes in, which labels come out, and how data sets number them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.bundle import Label
from DynamicSegLib.cleaning import Cleaning, parse_cleaning
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.methods import glioma
from DynamicSegLib.study import InputSpec
from DynamicSegLib.training.config_reading import read_config


@dataclass(frozen=True)
class Task:
    """Input, labels in class order, and regions for evaluation (unions of label values).

    `optional`: values of labels that a case may lack, and what the few voxels that are then found falsely become.
    """

    name: str
    input: InputSpec
    labels: tuple[Label, ...]
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    optional: Mapping[int, int] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        """Classes of the networks, background included."""
        return len(self.labels) + 1

    @property
    def class_of_value(self) -> dict[int, int]:
        """Class index by label value."""
        return {label.value: index + 1 for index, label in enumerate(self.labels)}

    def cleaning(self, rules: Mapping[str, Any] | None) -> Cleaning | None:
        """The rules of a bundle's configuration, in label values; BundleError where they do not fit the task."""
        return parse_cleaning(rules, list(self.class_of_value), f"task {self.name!r}")

    @property
    def optional_classes(self) -> dict[int, int]:
        """`optional` in class indices."""
        index = self.class_of_value
        return {index[value]: index[becomes] for value, becomes in self.optional.items()}

    def class_cleaning(self, rules: Mapping[str, Any] | None) -> Cleaning | None:
        """The same in class indices."""
        cleaning = self.cleaning(rules)
        return None if cleaning is None else cleaning.renumbered(self.class_of_value)

    def class_indices(
        self, values: NDArray[np.uint8], case: str, same: Mapping[int, int] | None = None
    ) -> NDArray[np.uint8]:
        """Label values of a file as class indices.

        Parameters
        ----------
        same: values of this data set -> the task's values (e.g. `{3: 4}` for BraTS 2023, whose enhancing tumour is 3).

        Raises
        ------
        TrainingError: a value that is neither the task's nor in `same`.
        """
        table = {0: 0, **self.class_of_value}
        mapping = dict(same or {})
        result = np.zeros(values.shape, np.uint8)
        for value in np.unique(values):
            target = mapping.get(int(value), int(value))
            if target not in table:
                raise TrainingError(
                    f"Case {case} has label {int(value)}, which task {self.name!r} (labels "
                    f"{', '.join(str(v) for v in table)}) does not know: {self._advice(int(value))}."
                )
            result[values == value] = table[target]
        return result

    def _advice(self, value: int) -> str:
        if self.labels == glioma.LABELS and value == 3:
            return "enhancing tumour is 3 in BraTS 2023: pack with --layout brats2023"
        return "relabel the volume, or describe the task in a file (--task FILE)"


GLIOMA = Task("glioma", glioma.INPUT, glioma.LABELS, glioma.REGIONS, glioma.OPTIONAL)


@dataclass(frozen=True)
class _TaskFields:
    name: str
    input: InputSpec
    labels: tuple[Label, ...]
    regions: dict[str, list[int]] = field(default_factory=dict)
    optional: dict[int, int] = field(default_factory=dict)


def read_task(name_or_file: str) -> Task:
    """`glioma`, or a YAML file that describes another task."""
    if name_or_file == GLIOMA.name:
        return GLIOMA
    fields = read_config(Path(name_or_file), _TaskFields)
    regions = {name: tuple(values) for name, values in fields.regions.items()}
    return Task(fields.name, fields.input, fields.labels, regions, fields.optional)
