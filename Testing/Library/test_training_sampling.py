"""Which slices a step sees."""

from pathlib import Path

import numpy as np
import pytest
import torch

from DynamicSegLib.context import Context
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.training.augmentation import decode
from DynamicSegLib.training.cache import write_case
from DynamicSegLib.training.config import DataConfig
from DynamicSegLib.training.sampling import CaseSampler, SlicePool, step_generator
from DynamicSegLib.training.sources import chosen_cases, open_sources
from Testing.Library.training_cases import CLASSES, MODALITIES, tiny_arrays, tiny_cache

CPU = torch.device("cpu")


def test_resident_and_mapped_slices_are_the_same(tmp_path: Path) -> None:
    cases = tiny_cache(tmp_path)
    volumes, classes = tiny_arrays(9, size=30)
    cases.append(write_case(tmp_path / "cache", "wide", MODALITIES, volumes, classes, CLASSES, (1.0, 1.0, 1.0)))
    which, index = np.array([0, 3, 2, 3]), np.array([1, 0, 5, 4])
    mapped = SlicePool(cases, CPU).fetch(which, index)
    resident = SlicePool(cases, CPU, resident=True).fetch(which, index)
    for one, other in zip(mapped, resident, strict=True):
        assert torch.equal(one, other)
    images, _ = decode(mapped)
    expected = cases[3].volumes()[:, 4, 2:-2, 3:-3]
    torch.testing.assert_close(images[3], torch.from_numpy(expected), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("resident", [False, True])
def test_neighbours_come_behind_the_slice_and_are_empty_beyond_the_cache(tmp_path: Path, resident: bool) -> None:
    cases = tiny_cache(tmp_path)
    pool = SlicePool(cases, CPU, resident)
    which, index = np.array([1, 1, 2]), np.array([0, 3, 5])
    planes = pool.fetch(which, index, Context((-1.0, 2.0))).planes
    assert planes.shape[1] == 3 * 2 + 1
    alone = pool.fetch(which, index).planes
    assert torch.equal(planes[:, :2], alone[:, :2]) and torch.equal(planes[:, -1], alone[:, -1])
    assert torch.equal(planes[1, 2:4], pool.fetch(np.array([1]), np.array([2])).planes[0, :2])
    assert torch.equal(planes[1, 4:6], pool.fetch(np.array([1]), np.array([5])).planes[0, :2])
    assert not planes[0, 2:4].any() and not planes[2, 4:6].any()


def test_tumour_slices_are_drawn_as_often_as_asked(tmp_path: Path) -> None:
    cases = tiny_cache(tmp_path)
    sampler = CaseSampler.of(cases, [1.0, 1.0, 1.0], tumour_share=1.0)
    which, index = sampler.draw(200, step_generator(1, 0))
    assert all(cases[c].record.foreground[i] > 0 for c, i in zip(which, index, strict=True))
    which, index = CaseSampler.of(cases, [1.0, 0.0, 1.0], 0.0).draw(2000, step_generator(1, 0))
    assert set(which) == {0, 2}
    share = np.mean([cases[c].record.foreground[i] > 0 for c, i in zip(which, index, strict=True)])
    assert share == pytest.approx(0.5, abs=0.05)


def test_every_step_and_process_draws_its_own_and_always_the_same() -> None:
    draws = {(step, rank): step_generator(1, step, rank).integers(2**60) for step in (0, 1) for rank in (0, 1)}
    assert len(set(draws.values())) == 4
    assert step_generator(1, 1, 0).integers(2**60) == draws[1, 0]


def test_an_extra_cache_takes_its_share_of_the_draws(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    (tmp_path / "more").mkdir()
    tiny_cache(tmp_path / "more", 2)
    extra = {str(tmp_path / "more" / "cache"): 0.25}
    pool, sampler = open_sources(DataConfig(tmp_path / "cache", tmp_path / "cases.csv", extra=extra), CPU)
    assert len(pool.cases) == 5
    np.testing.assert_allclose(sampler.weights, [0.25, 0.25, 0.25, 0.125, 0.125])


def test_only_the_folds_asked_for_are_taken(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    config = DataConfig(tmp_path / "cache", tmp_path / "cases.csv", (0, 2))
    assert [row.case for row in chosen_cases(config)] == ["case0", "case2"]


def test_folds_without_a_case_are_refused(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    with pytest.raises(TrainingError, match="check the folds"):
        open_sources(DataConfig(tmp_path / "cache", tmp_path / "cases.csv", (7,)), CPU)


def test_a_list_without_folds_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("case\na\n", encoding="utf-8")
    with pytest.raises(TrainingError, match="needs columns case and fold"):
        chosen_cases(DataConfig(tmp_path, tmp_path / "cases.csv"))
