"""How Med-DANet V2 runs: slices of one crop size together, grouped by bits stage by stage, on real low precision."""

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.backends.base import Backend
from DynamicSegLib.backends.kernels import Kernels, kernels_for
from DynamicSegLib.bank import WINDOW
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.cost import Cost, count
from DynamicSegLib.cost_cache import remembered
from DynamicSegLib.execution import Outcome
from DynamicSegLib.methods.med_danet_v2 import crop_of, network_of

if TYPE_CHECKING:
    import torch

    from DynamicSegLib.networks.pieces import Executed, Kernel, Pieces, StagedExecution


class DynamicExecution:
    """Runs the options of a Med-DANet V2 bundle.

    Each slice's cost is that of the bits it really took; its extras are the crop box (`crop_row`, `crop_column`,
    `crop_rows`, `crop_columns`, pixels of the working grid, where it was cropped) and `bits_1` to `bits_4`, the bits of
    each encoder stage (their mean over the windows in the window setting, where each window has its own crop box).

    Parameters
    ----------
    size: rows and columns of a slice. setting: see `engine.Run`.
    kernels: what computes; by default those of the backend.

    Raises
    ------
    BundleError: see `med_danet_v2.network_of`.
    """

    def __init__(
        self, bundle: Bundle, backend: Backend, size: tuple[int, int], setting: str, kernels: Kernels | None = None
    ) -> None:
        self.bundle, self.size, self.setting = bundle, size, setting
        self.network = network_of(bundle)
        self.kernels = kernels or kernels_for(backend, bundle.checksum)
        widths = dict.fromkeys((*self.network.segmentation.bits, 32))
        self.facts: Mapping[str, Any] = {"arithmetic": {f"{bits} bits": self.kernels.describe(bits) for bits in widths}}
        # The largest piece of a slice that is looked at at once.
        self._limit = size if setting == "whole" else (WINDOW, WINDOW)
        self._executions: dict[int, StagedExecution] = {}
        self._counted: dict[tuple[int, int, tuple[int, int]], int] = {}

    def prepare(self, option: int) -> None:
        """See `execution.Execution`."""
        from DynamicSegLib.networks.staged import STAGES

        if option not in self._executions:
            crop = crop_of(self.bundle, option)
            self._executions[option] = self.network.execution(self._pieces(crop), crop, self.setting == "whole")
            # Counted now, so that the first slices' time is only theirs.
            for index, bits in product(range(STAGES), self.network.segmentation.bits):
                self._stage_flops(option, index, bits)

    def run(self, option: int, slices: NDArray[np.float32]) -> Outcome:
        """See `execution.Execution`."""
        import torch

        self.prepare(option)
        x = torch.from_numpy(np.ascontiguousarray(slices))
        if self.setting == "whole":
            executed = self._executions[option](x)
            classes = executed.output
        else:
            classes, executed = self._windows(option, x)
        bits = executed.bits.reshape(-1, len(slices), executed.bits.shape[1]).numpy()
        costs = tuple(self._cost(option, bits[:, index]) for index in range(len(slices)))
        extras = tuple(self._extra(option, executed, bits[:, index], index) for index in range(len(slices)))
        return Outcome(classes.cpu().numpy().astype(np.uint8, copy=False), costs, extras)

    def _windows(self, option: int, x: "torch.Tensor") -> "tuple[torch.Tensor, Executed]":
        from DynamicSegLib.networks.windows import SlidingWindow

        recorder = _recorder(self._executions[option])
        return SlidingWindow(recorder, WINDOW)(x).argmax(dim=1), recorder.executed  # type: ignore[return-value]

    def _pieces(self, crop: int) -> "Pieces":
        """The network's pieces, compiled for the sizes that an option with this crop size has."""
        import torch

        from DynamicSegLib.networks.pieces import Pieces, Stage, last_size, pieces_of
        from DynamicSegLib.networks.quantisation import FULL
        from DynamicSegLib.networks.staged import STAGES

        staged, channels, tile = self.network.segmentation, self.bundle.bank.channels, self._tile(crop)
        modules = pieces_of(staged, self.network.position, classes=self.setting == "whole")

        def level(index: int) -> "torch.Tensor":
            return torch.rand(1, staged.width << index, tile[0] >> index, tile[1] >> index)

        def kernel(name: str, module: Any, *examples: "torch.Tensor", bits: int = FULL) -> "Kernel":
            return self.kernels.compile(name, module, examples, bits)

        stages = {}
        for index, bits in modules.stages:
            own = Stage(staged, index, bits if self.kernels.keeps_quantisers(bits) else FULL)
            stages[index, bits] = kernel(f"stage {index}", own, level(index), bits=bits)
        position = None
        if modules.position is not None and self._is_cropped(crop):
            position = kernel("position", modules.position, torch.rand(1, channels, *self._limit))
        features = (level(STAGES - 1), *(level(index) for index in range(STAGES - 1)))
        last = torch.rand(1, staged.width, *(last_size(crop, self._limit) if self._is_cropped(crop) else tile))
        return Pieces(
            position,
            kernel("begin", modules.begin, torch.rand(1, channels, *tile)),
            stages,
            kernel("before last", modules.before_last, *features),
            kernel("last", modules.last, last),
        )

    def _is_cropped(self, crop: int) -> bool:
        return 0 < crop < min(self._limit)

    def _tile(self, crop: int) -> tuple[int, int]:
        """Rows and columns that the encoder sees."""
        from DynamicSegLib.networks.padding import padded_size

        return (crop, crop) if self._is_cropped(crop) else padded_size(*self._limit, self.network.segmentation.divisor)

    def _cost(self, option: int, bits: NDArray[np.int64]) -> Cost:
        """Cost of one slice; `bits` int `[window, stage]`. The bank's cost is that of the widest bits everywhere."""
        widest = self.network.segmentation.bits[-1]
        full = self.bundle.bank.costs(self.size, self.setting)[option]
        saved = 0
        for window in bits:
            for index, own in enumerate(window):
                saved += self._stage_flops(option, index, widest) - self._stage_flops(option, index, int(own))
        return Cost(full.macs, full.paper_flops - saved, full.parameters)

    def _stage_flops(self, option: int, index: int, bits: int) -> int:
        """Paper FLOPs of one encoder stage at `bits`; counted once for a network and size, since counting is slow."""
        tile = self._tile(crop_of(self.bundle, option))
        if (index, bits, tile) not in self._counted:
            arguments = sorted({**self.bundle.bank.candidates[-1].arguments, "crop": 0}.items())
            cost = remembered(("stage", arguments, index, bits, tile), lambda: self._count_stage(index, bits, tile))
            self._counted[index, bits, tile] = cost.paper_flops
        return self._counted[index, bits, tile]

    def _count_stage(self, index: int, bits: int, tile: tuple[int, int]) -> Cost:
        from DynamicSegLib.networks.pieces import Stage

        staged = self.network.segmentation
        shape = (1, staged.width << index, tile[0] >> index, tile[1] >> index)
        return count(Stage(staged, index, bits), shape)

    def _extra(self, option: int, executed: "Executed", bits: NDArray[np.int64], index: int) -> dict[str, Any]:
        extra: dict[str, Any] = {}
        if executed.start is not None and self.setting == "whole":
            row, column = executed.start[index].tolist()
            crop = crop_of(self.bundle, option)
            extra = {"crop_row": row, "crop_column": column, "crop_rows": crop, "crop_columns": crop}
        for stage, mean in enumerate(bits.mean(axis=0).tolist(), start=1):
            extra[f"bits_{stage}"] = int(mean) if mean == int(mean) else round(mean, 2)
        return extra


def _recorder(execution: "StagedExecution") -> Any:
    """An execution as a module that gives logits and remembers its last result, for the sliding window."""
    from torch import Tensor, nn

    class Recorder(nn.Module):
        executed: "Executed"

        def forward(self, x: Tensor) -> Tensor:
            self.executed = execution(x)
            return self.executed.output

    return Recorder()
