"""The README's pictures can be made; whether they are beautiful, only people see."""

from pathlib import Path
from typing import Any

import pytest

from DynamicSegLib.reporting.palette import option_color
from Testing.Module.screenshots import main


def test_the_pictures_are_made_from_the_sample(host: Any, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    assert main(folder) == 0
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.png" for name in ("screen", "panel", "chart", "slice", "surfaces")
    }
    from PySide6.QtGui import QImage

    picture = QImage(str(folder / "chart.png"))
    colors = {picture.pixelColor(x, y).name() for x in range(0, picture.width(), 3) for y in range(0, 380, 3)}
    assert option_color(1).lower() in colors, "bars in the colour of the first network"


def test_without_a_model_the_reason_is_told(
    host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("DynamicSegPanel.Inputs.find_bundles", dict)
    assert main(tmp_path) == 2
    assert "No model is installed" in capsys.readouterr().err
