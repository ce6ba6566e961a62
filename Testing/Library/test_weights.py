"""Weights on disk."""

import sys
from pathlib import Path

import pytest
import torch

from DynamicSegLib.weights import Storage, load_weights, save_weights


@pytest.mark.parametrize("storage", Storage)
def test_weights_come_back_as_far_as_their_storage_allows(tmp_path: Path, storage: Storage) -> None:
    state = {
        "large": torch.linspace(-1, 1, 2048).reshape(2, 1024),
        "small": torch.tensor([0.1]),
        "count": torch.tensor(3),
    }
    save_weights(tmp_path / "x.safetensors", state, storage)
    loaded = load_weights(tmp_path / "x.safetensors")
    torch.testing.assert_close(loaded["large"], state["large"], rtol=0, atol=0 if storage is Storage.FLOAT32 else 4e-3)
    assert torch.equal(loaded["small"], state["small"]) and torch.equal(loaded["count"], state["count"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_others_may_read_weights_as_any_file(tmp_path: Path) -> None:
    (tmp_path / "any").touch()
    save_weights(tmp_path / "x.safetensors", {"a": torch.zeros(1)})
    assert (tmp_path / "x.safetensors").stat().st_mode == (tmp_path / "any").stat().st_mode
