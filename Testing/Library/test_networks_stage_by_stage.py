"""Slices led through the pieces of a staged network: NumPy's arrays and torch's tensors alike, and without torch."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from DynamicSegLib.networks.dynamic import DynamicNetwork
from DynamicSegLib.networks.stage_by_stage import (
    Kernel,
    Pieces,
    StagedExecution,
    Surroundings,
    padded_size,
    whole_pixels,
)
from Testing.tiny_methods import divide_bits


def on_arrays(kernel: Kernel) -> Kernel:
    """A module as a function of NumPy's arrays."""

    def run(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        with torch.no_grad():
            return tuple(each.numpy() for each in kernel(*(torch.from_numpy(array) for array in arrays)))

    return run


@pytest.mark.parametrize("size", [(40, 48), (37, 45)])
@pytest.mark.parametrize("crop", [0, 16])
@pytest.mark.parametrize("bits", [(8, 16), ((8, 16), (8,), (8,), (8,)), ((8,), (8, 16), (16,), (8, 16))])
def test_arrays_and_tensors_are_led_alike(crop: int, size: tuple[int, int], bits: tuple[tuple[int, ...], ...]) -> None:
    torch.manual_seed(3)
    network = DynamicNetwork(crop, (16,), in_channels=2, out_channels=3, width=4, bits=bits)
    network.train()
    slices = torch.randn(5, 2, 40, 48) * torch.linspace(0.2, 2, 5)[:, None, None, None]
    with torch.no_grad():
        network.dense(slices, 0, quantised=False)
    divide_bits(network.eval(), slices)
    x = slices[..., : size[0], : size[1]].contiguous()
    execution = network.execution(size)
    own = execution.pieces
    pieces = Pieces(
        None if own.position is None else on_arrays(own.position),
        on_arrays(own.begin),
        {key: on_arrays(stage) for key, stage in own.stages.items()},
        None if own.blank is None else on_arrays(own.blank),
    )
    with torch.no_grad():
        expected = execution(x)
    actual = StagedExecution(pieces, execution.spaces, 4, crop)(x.numpy())
    assert isinstance(actual.output, np.ndarray)
    assert actual.output.shape == (5, 3, *size)
    np.testing.assert_allclose(actual.output, expected.output.numpy(), atol=1e-5)
    np.testing.assert_array_equal(actual.bits, expected.bits)
    choosing = [len(space) > 1 for space in execution.spaces]
    assert [len(np.unique(column)) > 1 for column in actual.bits.T] == choosing
    assert len(own.stages) == 2 * sum(choosing)
    assert (actual.start is None) == (crop == 0)
    if crop:
        np.testing.assert_array_equal(actual.start, expected.start)


def test_whole_pixels_are_the_nearest_that_keep_the_crop_and_its_surroundings_inside() -> None:
    centre = np.array([[4.2, 36.4], [12.6, 20.0], [30.0, -5.0]])
    assert whole_pixels(centre, 8, (24, 40)).tolist() == [[4, 28], [9, 16], [12, 4]]
    # Where there is no room for them, all crops lie in the middle.
    assert whole_pixels(centre, 8, (15, 40)).tolist() == [[3, 28], [3, 16], [3, 4]]


@given(crop=st.integers(1, 64), room=st.integers(1, 64))
def test_surroundings_are_what_the_last_stage_reaches_or_the_whole_slice(crop: int, room: int) -> None:
    around = Surroundings.of(crop, crop + room)
    assert around.before + around.after == min(room, 8)
    assert abs(around.before - around.after) <= 1
    # Left out is only what the crop does not reach: at least 2 pixels beside it stay, or all that there is.
    assert min(around.before, around.after) - around.margin >= min(2, room // 2)
    assert around.margin == (2 if room >= 8 else 0)


@settings(deadline=None)
@given(rows=st.integers(1, 500), columns=st.integers(1, 500))
def test_the_padded_size_is_the_smallest_that_fits(rows: int, columns: int) -> None:
    for before, after in zip((rows, columns), padded_size(rows, columns), strict=True):
        assert after % 8 == 0
        assert before <= after < before + 8


def test_nothing_here_imports_torch() -> None:
    code = "import sys, DynamicSegLib.methods.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
