"""What is evaluated: named structures, each a union of classes or of label values."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.bundle import Bundle


@dataclass(frozen=True)
class Structures:
    """Named unions, e.g. `{"WT": (1, 2, 4)}` of label values, or `{"WT": (1, 2, 3)}` of class indices."""

    members: Mapping[str, tuple[int, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.members)

    @classmethod
    def of_values(cls, bundle: Bundle) -> "Structures":
        """The bundle's regions in label values; each label by itself where it names none."""
        return cls(dict(bundle.regions) or {label.name: (label.value,) for label in bundle.labels})

    def masks(self, labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """bool `[structure, *labels.shape]`."""
        return np.stack([np.isin(labels, members) for members in self.members.values()])
