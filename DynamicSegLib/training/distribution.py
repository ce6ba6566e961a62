"""One process or several: `torchrun --nproc-per-node N -m DynamicSegLib.cli.main train ...` gives each GPU one."""

import os
import re
from dataclasses import dataclass

import torch
from torch import nn

from DynamicSegLib.errors import TrainingError


@dataclass(frozen=True)
class Processes:
    """This process among those of the run."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes logs, checkpoints and bundles."""
        return self.rank == 0

    def wrap(self, network: nn.Module, compiled: bool = False) -> nn.Module:
        """The network compiled if asked for, and with gradients averaged over the processes where there are several."""
        wrapped: nn.Module = torch.compile(network) if compiled else network  # type: ignore[assignment]
        return wrapped if self.count == 1 else nn.parallel.DistributedDataParallel(wrapped)


def join_processes(device: torch.device) -> Processes:
    """The processes torchrun started, or the only one."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes()
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Processes(torch.distributed.get_rank(), count)


def require_one_process(what: str) -> None:
    """TrainingError where torchrun started several processes for something that runs in one."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count > 1:
        raise TrainingError(f"{what} runs in one process, not in {count}: start it without torchrun.")


def choose_device(name: str = "auto") -> torch.device:
    """`auto` is this process's GPU where there is one, else the CPU.

    Raises
    ------
    TrainingError: the name is unknown, or this machine has no such GPU.
    """
    if name == "auto":
        present = torch.cuda.is_available()
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if present else torch.device("cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise TrainingError(f"Device {name!r} is unknown: expected auto, cpu, cuda or cuda:N.")
    device = torch.device(name)
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise TrainingError(f"Device {name!r}: torch finds {count} CUDA GPUs here; choose another, or auto.")
    return device
