"""The bundles in the repository: whole, small, described, and able to find a tumour."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from DynamicSegLib.bundles import load_bundle
from DynamicSegLib.methods.registry import METHODS, start_run
from DynamicSegLib.resources import shipped_folder
from DynamicSegLib.study import build_study
from DynamicSegLib.synthesis.phantom import Phantom, make_phantom

BUNDLES = sorted(path.name for path in shipped_folder("Bundles").iterdir() if path.is_dir())
MOST_MB = {"glioma-mutual": 8}


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(7, slices=24)


def test_there_is_one_of_each_method() -> None:
    assert {load_bundle(name).method for name in BUNDLES} == set(METHODS)


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_is_small_and_says_what_it_is_for(name: str) -> None:
    bundle = load_bundle(name)  # compares every checksum

    assert bundle.folder is not None
    megabytes = sum(path.stat().st_size for path in Path(bundle.folder).iterdir()) / 1e6
    assert megabytes < MOST_MB.get(name, 30)
    card = (Path(bundle.folder) / "MODEL_CARD.md").read_text(encoding="utf-8")
    for words in ("Research only, not for diagnosis", "**Licence.**", "## Data", "not trained on", "Costs of one"):
        assert words in card
    assert all(point.measured for point in bundle.curve) and bundle.curve


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_finds_the_tumour_of_a_phantom_and_skips_what_is_empty(name: str, phantom: Phantom) -> None:
    bundle = load_bundle(name)
    run = start_run(build_study(phantom.images, bundle.input), bundle, device="cpu", backend="torch", precision="fp32")
    for _ in run.execute(run.plan()):
        pass
    result = run.segmentation()

    found = sitk.GetArrayFromImage(result.to_native()) > 0
    truth = sitk.GetArrayFromImage(phantom.labels) > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.85
    assert result.activation_ratio["skip"] > 0.1
    assert np.isclose(sum(result.activation_ratio.values()), 1)
