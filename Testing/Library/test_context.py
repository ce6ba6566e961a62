"""The context: which neighbours a candidate sees, from the scan to the result."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from DynamicSegLib.bank import Bank, Candidate
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.bundles import write_bundle
from DynamicSegLib.context import Context
from DynamicSegLib.errors import BundleError
from DynamicSegLib.methods.med_danet import build_decision_network
from DynamicSegLib.methods.registry import start_run
from DynamicSegLib.networks.registry import build_network
from DynamicSegLib.study import build_study
from DynamicSegLib.weights import Storage
from Testing.tiny import SLICES, describe_tiny_bundle, head_images

AROUND = Context((-2.0, 2.0))


def ramp(slices: int = 6) -> np.ndarray:
    """Two modalities whose pixels say which slice they are of: its number from 1, and ten times that."""
    numbers = np.arange(1, slices + 1, dtype=np.float32)
    return np.stack([numbers, 10 * numbers])[:, :, None, None] * np.ones((3, 2), np.float32)


def test_the_slice_comes_first_then_its_neighbours_and_beyond_the_scan_there_is_nothing() -> None:
    seen = AROUND.gather(ramp(), [0, 3], 1.0)
    assert seen.shape == (2, 6, 3, 2)
    assert seen[:, :, 0, 0].tolist() == [[1, 10, 0, 0, 3, 30], [4, 40, 2, 20, 6, 60]]


def test_neighbours_are_so_many_millimetres_away() -> None:
    assert AROUND.steps(1.0) == (0, -2, 2)
    assert AROUND.steps(2.0) == (0, -1, 1)
    assert AROUND.steps(5.0) == (0, 0, 0), "the nearest slice of a thick one is itself"


def test_without_neighbours_there_is_the_slice_alone() -> None:
    np.testing.assert_array_equal(Context().gather(ramp(), [4, 1], 1.0), ramp()[:, [4, 1]].swapaxes(0, 1))


@pytest.mark.parametrize("neighbours", [(0.0, 2.0), (2.0, 2.0)])
def test_the_slice_itself_is_no_neighbour_and_none_is_seen_twice(neighbours: tuple[float, ...]) -> None:
    with pytest.raises(BundleError, match="expected different distances, none of them 0"):
        Context(neighbours)


def _bundle(folder: Path) -> Bundle:
    """The tiny bundle, whose larger candidate sees neighbours."""
    torch.manual_seed(0)
    described = describe_tiny_bundle("aware")
    small, large = described.bank.candidates
    wide = Candidate("L", "unet2d", {**large.arguments, "in_channels": 12}, context=AROUND)
    bundle = replace(described, bank=Bank((small, wide), described.bank.modalities))
    states = {}
    for candidate in bundle.bank.candidates:
        network = build_network(candidate.network, candidate.arguments)
        torch.nn.init.normal_(network.decoder.head.weight, std=0.5)
        states[candidate.name] = network.state_dict()
    router = build_decision_network(bundle).state_dict()
    return write_bundle(folder / "aware", bundle, states, router, "# Aware\n", Storage.FLOAT32)


def test_a_bundle_remembers_what_its_candidates_see_and_counts_it(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path)
    small, large = bundle.bank.candidates
    assert (small.context, large.context) == (Context(), AROUND)
    plain = describe_tiny_bundle().bank.candidates[1]
    # Eight further channels into a first layer of eight, 3 x 3, on every pixel of 40 x 32.
    assert large.cost((40, 32), 4).macs == plain.cost((40, 32), 4).macs + 8 * 8 * 9 * 40 * 32


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_labels_are_those_of_the_network_on_slice_and_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino", reason="openvino is not installed: pip install 'DynamicSeg[openvino]'")
    monkeypatch.setenv("DYNAMICSEG_HOME", str(tmp_path / "home"))
    bundle = _bundle(tmp_path)
    study = build_study(head_images(), bundle.input)
    run = start_run(study, bundle, device="cpu", backend=backend, precision="fp32")
    plan = replace(run.plan(), options=np.full(SLICES, 2, np.int64))
    assert [step.done for step in run.execute(plan)][-1] == SLICES
    network = bundle.bank.candidates[1].build().eval()
    seen = np.zeros((SLICES, 12, *study.volumes.shape[2:]), np.float32)
    seen[:, :4] = study.volumes.swapaxes(0, 1)
    # Slices are 3 mm apart: at a distance of 2 mm the next one is nearest.
    seen[1:, 4:8] = seen[:-1, :4]
    seen[:-1, 8:] = seen[1:, :4]
    with torch.no_grad():
        classes = network(torch.from_numpy(seen)).argmax(1).numpy()
    expected = np.array([0, 1, 2, 4], np.uint8)[classes]
    assert study.spacing_mm[0] == 3 and np.unique(expected).size > 1
    assert (run.segmentation().labels == expected).mean() > 0.999
