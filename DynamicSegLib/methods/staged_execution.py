"""How Med-DANet V2 runs: slices of one crop size together, grouped by the bits they choose, on real low precision."""

from collections.abc import Mapping
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.backends.base import Backend
from DynamicSegLib.backends.kernels import Kernels, Shape, kernels_for
from DynamicSegLib.bank import WINDOW
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.cost import Cost, count
from DynamicSegLib.cost_cache import remembered
from DynamicSegLib.execution import Outcome
from DynamicSegLib.methods.med_danet_v2 import crop_of, network_of, shared_arguments
from DynamicSegLib.networks.stage_by_stage import (
    BITS,
    CROPS,
    FULL,
    STAGES,
    WIDTH,
    Executed,
    Kernel,
    Pieces,
    StagedExecution,
    Surroundings,
    bit_spaces,
    choices,
    following,
    padded_size,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from DynamicSegLib.networks.dynamic import DynamicNetwork


class DynamicExecution:
    """Runs the options of a Med-DANet V2 bundle.

    Each slice's cost is that of the bits it really took; its extras are the crop box (`crop_row`, `crop_column`,
    `crop_rows`, `crop_columns`, pixels of the working grid, where it was cropped) and `bits_1` to `bits_4`, the bits of
    each encoder stage (their mean over the windows in the window setting, where each window has its own crop box).

    Parameters
    ----------
    size: rows and columns of a slice. setting: see `engine.Run`.
    kernels: what computes; by default those of the backend.

    The network itself is built only where something has to be compiled.

    Raises
    ------
    BundleError: see `med_danet_v2.shared_arguments`.
    """

    def __init__(
        self, bundle: Bundle, backend: Backend, size: tuple[int, int], setting: str, kernels: Kernels | None = None
    ) -> None:
        self.bundle, self.size, self.setting = bundle, size, setting
        arguments = shared_arguments(bundle)
        self._width, self._spaces = arguments.get("width", WIDTH), bit_spaces(arguments.get("bits", BITS))
        self._crops = tuple(arguments.get("crops", CROPS))
        # The last piece gives classes in one setting and logits in the other.
        self.kernels = kernels or kernels_for(backend, f"{bundle.checksum} {setting}" if bundle.checksum else "")
        widths = dict.fromkeys((*sorted(set(chain.from_iterable(self._spaces))), FULL))
        self.facts: Mapping[str, Any] = {"arithmetic": {f"{bits} bits": self.kernels.describe(bits) for bits in widths}}
        # The largest piece of a slice that is looked at at once.
        self._limit = size if setting == "whole" else (WINDOW, WINDOW)
        self._executions: dict[int, StagedExecution] = {}
        self._counted: dict[tuple[int, int, tuple[int, int]], int] = {}

    @cached_property
    def network(self) -> "DynamicNetwork":
        """The bundle's one network."""
        return network_of(self.bundle)

    def prepare(self, option: int) -> None:
        """See `execution.Execution`."""
        if option not in self._executions:
            crop = crop_of(self.bundle, option)
            which = self._crops.index(crop) if crop else 0
            self._executions[option] = StagedExecution(self._pieces(crop), self._spaces, self._width, crop, which)
            # Counted now, so that the first slices' time is only theirs.
            for index, bits in self._chosen:
                self._stage_flops(option, index, bits)

    def run(self, option: int, slices: NDArray[np.float32]) -> Outcome:
        """See `execution.Execution`."""
        self.prepare(option)
        if self.setting == "whole":
            executed = self._executions[option](self.kernels.arrays(slices))
            classes = self.kernels.plain(executed.output)
        else:
            classes, executed = self._windows(option, slices)
        bits = executed.bits.reshape(-1, len(slices), executed.bits.shape[1])
        costs = tuple(self._cost(option, bits[:, index]) for index in range(len(slices)))
        extras = tuple(self._extra(option, executed, bits[:, index], index) for index in range(len(slices)))
        return Outcome(classes.astype(np.uint8, copy=False), costs, extras)

    def _windows(self, option: int, slices: NDArray[np.float32]) -> tuple[NDArray[np.generic], Executed]:
        import torch

        from DynamicSegLib.networks.windows import SlidingWindow

        recorder = _recorder(self._executions[option], self.kernels)
        classes = SlidingWindow(recorder, WINDOW)(torch.from_numpy(np.ascontiguousarray(slices))).argmax(dim=1)
        return classes.numpy(), recorder.executed

    @property
    def _chosen(self) -> list[tuple[int, int]]:
        """Each stage that chooses its bits, with each of these."""
        return [(index, bits) for index in choices(self._spaces) for bits in self._spaces[index]]

    def _pieces(self, crop: int) -> Pieces:
        """The network's pieces, compiled for the sizes that an option with this crop size has."""
        # All options are one network, so that they see alike.
        channels, tile, cropped = self.bundle.bank.channels_of(1), self._tile(crop), self._is_cropped(crop)
        start, whole = (1, channels, *tile), (1, channels, *self._limit)
        return Pieces(
            self._kernel("position", whole) if cropped else None,
            self._stages(crop, 0, following(self._spaces, -1), start),
            {
                (index, bits): self._stages(crop, index, (bits, *following(self._spaces, index)))
                for index, bits in self._chosen
            },
            self._kernel("blank", (1, self._width, *self._limit)) if cropped else None,
        )

    def _kernel(self, name: str, shape: Shape) -> Kernel:
        """The position network, or what computes the last stage of no features."""

        def build() -> "nn.Module":
            from DynamicSegLib.networks.pieces import Last, Position

            if name == "position":
                assert self.network.position is not None
                return Position(self.network.position)
            return Last(self.network.segmentation, classes=self.setting == "whole")

        return self.kernels.compile(name, build, (shape,))

    def _stages(self, crop: int, first: int, bits: tuple[int, ...], slices: Shape | None = None) -> Kernel:
        """The piece of these stages. `slices`: shape of its input, if that is slices, before which is the stem."""
        cropped, tile, is_last = self._is_cropped(crop), self._tile(crop), first + len(bits) == STAGES
        levels: list[Shape] = [(1, self._width << i, tile[0] >> i, tile[1] >> i) for i in range(STAGES)]
        around = Surroundings.along(crop, self._limit) if cropped else None

        def build() -> "nn.Module":
            from DynamicSegLib.networks.pieces import AfterEncoder, Stages

            network = self.network.segmentation
            kept = [each if self.kernels.keeps_quantisers(each) else FULL for each in bits]
            after = AfterEncoder(network, self.setting == "whole", around)
            return Stages(network, first, kept, stem=slices is not None, after=after)

        name = f"{'slices' if slices else 'stage'} {first} {bits} around {around}"
        shapes = (slices,) if slices else (levels[first], *(levels[:first] if is_last else ()))
        return self.kernels.compile(name, build, shapes)

    def _is_cropped(self, crop: int) -> bool:
        return 0 < crop < min(self._limit)

    def _tile(self, crop: int) -> tuple[int, int]:
        """Rows and columns that the encoder sees."""
        return (crop, crop) if self._is_cropped(crop) else padded_size(*self._limit)

    def _cost(self, option: int, bits: NDArray[np.int64]) -> Cost:
        """Cost of one slice; `bits` int `[window, stage]`. The bank's cost is that of the widest bits everywhere."""
        full = self.bundle.bank.costs(self.size, self.setting)[option]
        saved = 0
        for window in bits:
            for index in choices(self._spaces):
                widest, own = self._spaces[index][-1], int(window[index])
                saved += self._stage_flops(option, index, widest) - self._stage_flops(option, index, own)
        return Cost(full.macs, full.paper_flops - saved, full.parameters)

    def _stage_flops(self, option: int, index: int, bits: int) -> int:
        """Paper FLOPs of one encoder stage at `bits`; counted once for a network and size, since counting is slow."""
        tile = self._tile(crop_of(self.bundle, option))
        if (index, bits, tile) not in self._counted:
            arguments = sorted(shared_arguments(self.bundle).items())
            cost = remembered(("stage", arguments, index, bits, tile), lambda: self._count_stage(index, bits, tile))
            self._counted[index, bits, tile] = cost.paper_flops
        return self._counted[index, bits, tile]

    def _count_stage(self, index: int, bits: int, tile: tuple[int, int]) -> Cost:
        from DynamicSegLib.networks.pieces import Stages

        shape = (1, self._width << index, tile[0] >> index, tile[1] >> index)
        return count(Stages(self.network.segmentation, index, (bits,)), shape)

    def _extra(self, option: int, executed: "Executed", bits: NDArray[np.int64], index: int) -> dict[str, Any]:
        extra: dict[str, Any] = {}
        if executed.start is not None and self.setting == "whole":
            row, column = executed.start[index].tolist()
            crop = crop_of(self.bundle, option)
            extra = {"crop_row": row, "crop_column": column, "crop_rows": crop, "crop_columns": crop}
        for stage, mean in enumerate(bits.mean(axis=0).tolist(), start=1):
            extra[f"bits_{stage}"] = int(mean) if mean == int(mean) else round(mean, 2)
        return extra


def _recorder(execution: StagedExecution, kernels: Kernels) -> Any:
    """An execution as a module that gives logits and remembers its last result, for the sliding window."""
    import torch

    class Recorder(torch.nn.Module):
        executed: Executed

        def forward(self, x: "Tensor") -> "Tensor":
            self.executed = execution(kernels.arrays(x.numpy()))
            return torch.from_numpy(kernels.plain(self.executed.output))

    return Recorder()
