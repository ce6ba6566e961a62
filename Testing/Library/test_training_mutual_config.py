"""The configuration of mutual learning."""

from pathlib import Path

import pytest

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.networks.slimmable import Configuration
from DynamicSegLib.training.config import BundleConfig, DataConfig, DecisionConfig
from DynamicSegLib.training.config_reading import read_config
from DynamicSegLib.training.mutual_config import (
    Decay,
    DistillationConfig,
    MutualConfig,
    MutualFoldsConfig,
    MutualOptimiserConfig,
    Optimiser,
    QueryTableConfig,
)

CONFIGS = Path(__file__).parents[2] / "DynamicSegLib" / "training" / "configs"
DATA = DataConfig(Path("cache"), Path("cases.csv"))


def _config(**changes: object) -> MutualConfig:
    values: dict[str, object] = {"output": Path("run"), "data": DATA, "steps": 9}
    return MutualConfig(**{**values, **changes})  # type: ignore[arg-type]


def test_the_papers_settings_are_the_defaults() -> None:
    options = _config().optimiser

    assert (options.kind, options.learning_rate, options.momentum) == (Optimiser.SGD, 0.5, 0.9)
    assert (options.weight_decay, options.decay) == (1e-4, Decay.COSINE)
    assert _config().students == 2


def test_cosine_decay_is_half_way_down_in_the_middle_and_zero_at_the_end() -> None:
    options = MutualOptimiserConfig(learning_rate=0.4)

    assert options.rate(0, 100) == pytest.approx(0.4)
    assert options.rate(50, 100) == pytest.approx(0.2)
    assert options.rate(100, 100) == pytest.approx(0.0)


def test_warm_up_rises_in_equal_steps() -> None:
    options = MutualOptimiserConfig(learning_rate=0.4, warm_up_steps=3, decay=Decay.POLY, power=0.0)

    assert [options.rate(step, 100) for step in range(5)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])


def test_everything_is_exported_up_to_the_width_that_was_trained() -> None:
    config = _config(widths=(1.0, 0.25, 0.5), resolutions=(144, 96), width=0.5)

    assert config.exported == (
        Configuration(0.25, 96),
        Configuration(0.25, 144),
        Configuration(0.25, None),
        Configuration(0.5, 96),
        Configuration(0.5, 144),
        Configuration(0.5, None),
    )


def test_what_is_to_be_kept_is_exported_alone() -> None:
    keep = (Configuration(0.5, 120), Configuration())

    assert _config(keep=keep).exported == keep


def test_all_configurations_of_the_paper_are_112() -> None:
    assert len(_config().exported) == 16 * 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": (0.0, 1.0)}, "width"),
        ({"widths": ()}, "width"),
        ({"width": 1.5}, "width"),
        ({"students": -1}, "students"),
        ({"students": 3, "listed": True, "widths": (0.25, 0.5, 0.75, 1.0)}, "at most the 2 widths"),
        ({"size": (100, 128)}, "divisible by 8"),
    ],
)
def test_a_setting_out_of_range_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        _config(**changes)


def test_each_bank_of_a_table_needs_the_fold_it_did_not_see() -> None:
    with pytest.raises(TrainingError, match="2 banks and 1 folds"):
        QueryTableConfig(Path("t"), (Path("a"), Path("b")), Path("cache"), Path("cases.csv"), (0,))


@pytest.mark.parametrize("name", ["paper-mutual.yaml", "gpu-mutual.yaml", "small-mutual.yaml"])
def test_the_shipped_configurations_are_read(name: str) -> None:
    config = read_config(CONFIGS / name, MutualConfig)

    assert config.exported
    assert config.steps > 0


def test_the_shipped_table_configuration_is_read() -> None:
    config = read_config(CONFIGS / "gpu-query-table.yaml", QueryTableConfig)

    assert len(config.banks) == 5


def test_the_shipped_cross_validation_is_read_with_what_it_names() -> None:
    config = read_config(CONFIGS / "gpu-mutual-folds.yaml", MutualFoldsConfig)
    root = CONFIGS.parents[2]

    assert read_config(root / config.mutual, MutualConfig).exported
    assert read_config(root / config.decision, DecisionConfig).steps > 0
    assert read_config(root / config.bundle, BundleConfig).name == "glioma-mutual"
    assert config.alone == (0.25, 0.5, 0.75)


def test_a_width_alone_is_three_overrides() -> None:
    overrides = ["width=0.5", "students=null", "keep=[{width: 0.5}]"]

    config = read_config(CONFIGS / "gpu-mutual.yaml", MutualConfig, overrides)

    assert (config.width, config.students, config.exported) == (0.5, None, (Configuration(0.5),))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, "batch 0: expected 1 or more"),
        ({"recalibration_slices": 0}, "recalibration_slices 0: expected 1 or more"),
        ({"dropout": 1.5}, r"dropout 1\.5: expected 0 to 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        _config(**change)


def test_weights_and_rates_that_cannot_be_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"momentum 2: expected 0 to 1"):
        MutualOptimiserConfig(momentum=2)
    with pytest.raises(TrainingError, match=r"kl -1: expected 0 or more"):
        DistillationConfig(kl=-1)
