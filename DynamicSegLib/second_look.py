"""A second look: a skipped slice beside a large finding is looked at after all.

A decision network sees one slice at a time, and takes a few slices of a large tumour for empty ones: where it is a
cyst, say, as dark as the ventricles. That its neighbour is full of tumour tells them apart.

Source: none of the papers has it.
"""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray


def second_looks(
    options: NDArray[np.int64],
    found_mm2: NDArray[np.float64],
    smallest_mm2: float,
    costs: Sequence[int],
    left: float = np.inf,
    fixed: Collection[int] = (),
) -> dict[int, int]:
    """Options by slice, for skipped slices beside a finding: that of the neighbour on which more was found.

    Parameters
    ----------
    options: int64 `[slice]`, what each slice got; 0 was skipped.
    found_mm2: float64 `[slice]`, the area of all labels that were found there.
    smallest_mm2: a smaller area is no finding; above 0.
    costs: of each option on one slice, skip first.
    left: what may be spent, in the same unit. Slices beside the largest findings come first; what does not fit stays
        skipped.
    fixed: slices that stay skipped in any case.
    """
    finding = np.where((options > 0) & (found_mm2 >= smallest_mm2), found_mm2, 0.0)
    before, after = np.zeros_like(finding), np.zeros_like(finding)
    before[1:], after[:-1] = finding[:-1], finding[1:]
    larger = np.maximum(before, after)
    looks: dict[int, int] = {}
    for index in np.argsort(-larger, kind="stable"):
        if options[index] or larger[index] <= 0 or index in fixed:
            continue
        option = int(options[index - 1] if before[index] >= after[index] else options[index + 1])
        if costs[option] <= left:
            looks[int(index)] = option
            left -= costs[option]
    return looks


def with_second_looks(
    options: NDArray[np.int64],
    found_mm2: NDArray[np.float64],
    smallest_mm2: float,
    costs: Sequence[int],
    left: float = np.inf,
) -> NDArray[np.int64]:
    """A plan with all second looks that it leads to, where it is known what every candidate finds.

    What `engine.Run.execute` does step by step. `found_mm2`: float64 `[slice, candidate]`; else as for `second_looks`.
    """
    options, every = options.copy(), np.arange(len(options))
    while looks := second_looks(options, found_mm2[every, options - 1] * (options > 0), smallest_mm2, costs, left):
        options[list(looks)] = list(looks.values())
        left -= sum(costs[option] for option in looks.values())
    return options
