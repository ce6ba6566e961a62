"""The configuration of Med-DANet V2's training."""

from pathlib import Path

import pytest

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.training.config import DataConfig
from DynamicSegLib.training.v2_config import V2Config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log_every": 0}, "log_every 0: expected 1 or more"),
        ({"guidance": -1.0}, r"guidance -1\.0: expected 0 or more"),
        ({"phases": (0, 0, 0)}, "expected lengths of 0 or more, not all of them 0"),
        ({"temperature": 0.0}, r"temperature 0\.0: expected above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        V2Config(output=Path("x"), data=DataConfig(Path("c"), Path("l")), steps=1, **change)  # type: ignore[arg-type]
