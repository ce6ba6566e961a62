"""Slices led through the pieces of a staged network: NumPy's arrays and torch's tensors alike, and without torch."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from DynamicSegLib.networks.dynamic import DynamicNetwork
from DynamicSegLib.networks.stage_by_stage import Kernel, Pieces, StagedExecution, padded_size, whole_pixels
from Testing.tiny_methods import divide_bits


def on_arrays(kernel: Kernel) -> Kernel:
    """A module as a function of NumPy's arrays."""

    def run(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        with torch.no_grad():
            return tuple(each.numpy() for each in kernel(*(torch.from_numpy(array) for array in arrays)))

    return run


@pytest.mark.parametrize("size", [(40, 48), (37, 45)])
@pytest.mark.parametrize("crop", [0, 16])
def test_arrays_and_tensors_are_led_alike(crop: int, size: tuple[int, int]) -> None:
    torch.manual_seed(3)
    network = DynamicNetwork(crop, (16,), in_channels=2, out_channels=3, width=4)
    network.train()
    slices = torch.randn(5, 2, 40, 48) * torch.linspace(0.2, 2, 5)[:, None, None, None]
    with torch.no_grad():
        network.dense(slices, 0, quantised=False)
    divide_bits(network.eval(), slices)
    x = slices[..., : size[0], : size[1]].contiguous()
    execution = network.execution()
    own = execution.pieces
    assert own.position is not None
    pieces = Pieces(
        on_arrays(own.position),
        on_arrays(own.begin),
        {key: on_arrays(stage) for key, stage in own.stages.items()},
        on_arrays(own.before_last),
        on_arrays(own.last),
        on_arrays(own.blank),
    )
    with torch.no_grad():
        expected = execution(x)
    actual = StagedExecution(pieces, (8, 16), 4, crop)(x.numpy())
    assert isinstance(actual.output, np.ndarray)
    assert actual.output.shape == (5, 3, *size)
    np.testing.assert_allclose(actual.output, expected.output.numpy(), atol=1e-5)
    np.testing.assert_array_equal(actual.bits, expected.bits)
    assert len(np.unique(actual.bits)) == 2
    assert (actual.start is None) == (crop == 0)
    if crop:
        np.testing.assert_array_equal(actual.start, expected.start)


def test_whole_pixels_are_the_nearest_that_keep_the_crop_inside() -> None:
    centre = np.array([[4.2, 36.4], [12.6, 20.0], [30.0, -5.0]])
    assert whole_pixels(centre, 8, (24, 40)).tolist() == [[0, 32], [9, 16], [16, 0]]


@settings(deadline=None)
@given(rows=st.integers(1, 500), columns=st.integers(1, 500))
def test_the_padded_size_is_the_smallest_that_fits(rows: int, columns: int) -> None:
    for before, after in zip((rows, columns), padded_size(rows, columns), strict=True):
        assert after % 8 == 0
        assert before <= after < before + 8


def test_nothing_here_imports_torch() -> None:
    code = "import sys, DynamicSegLib.methods.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
