"""Several processes, as torchrun starts them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.training.distribution import Processes, choose_device, join_processes, require_one_process
from Testing.Library.training_cases import tiny_cache

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
from pathlib import Path
import torch
from Testing.Library.test_training_bank_run import config_of
from DynamicSegLib.training.bank_run import BankRun
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.training.distribution import join_processes
torch.set_num_threads(1)
folder = Path(sys.argv[1])
processes = join_processes(torch.device("cpu"))
run = BankRun(config_of(folder, steps=2), torch.device("cpu"), None, processes)
state = run.train()["L"]
torch.save(state, folder / f"rank{processes.rank}.pt")
"""


def test_a_single_process_wraps_nothing() -> None:
    network = torch.nn.Linear(1, 1)
    assert Processes().wrap(network) is network
    assert join_processes(torch.device("cpu")) == Processes(0, 1)


def test_the_device_asked_for_is_taken() -> None:
    assert choose_device("cpu") == torch.device("cpu")


def test_what_runs_in_one_process_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    require_one_process("Counting")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(TrainingError, match="Counting runs in one process, not in 4"):
        require_one_process("Counting")


@pytest.mark.skipif(sys.platform == "win32", reason="gloo's rendezvous is not reliable on Windows runners")
def test_two_processes_learn_the_same_weights_from_different_batches(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    started = [
        subprocess.Popen(command, env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    assert [process.wait(timeout=240) for process in started] == [0, 0]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    for name, value in first.items():
        # Batch norm's statistics are each process's own; weights are shared.
        if "running" not in name:
            torch.testing.assert_close(value, second[name])


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("cuda:0") == torch.device("cuda", 0)
    with pytest.raises(TrainingError, match=r"Device 'cuda:1': torch finds 1 CUDA GPUs here"):
        choose_device("cuda:1")
    with pytest.raises(TrainingError, match=r"Device 'foo' is unknown: expected auto, cpu, cuda or cuda:N"):
        choose_device("foo")
