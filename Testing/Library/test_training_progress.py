"""The log of a run."""

from pathlib import Path

import pytest

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.training.progress import Means, RunLog


def test_a_resumed_log_has_no_step_twice_and_every_column(tmp_path: Path) -> None:
    path = tmp_path / "run" / "log.csv"
    log = RunLog(path, 0, 30)
    log.write(10, {"loss_S": 3.0, "loss_L": 2.0})
    log.write(20, {"loss_S": 4.0, "loss_L": 5.0})
    RunLog(path, 15, 30).write(20, {"loss_L": 1.0, "late": 7.0})
    header, first, second = (line.split(",") for line in path.read_text(encoding="utf-8").splitlines())
    assert header == ["step", "seconds", "left_seconds", "loss_S", "loss_L", "late"]
    assert [first[0], *first[3:]] == ["10", "3.0", "2.0", ""]
    assert [second[0], *second[3:]] == ["20", "", "1.0", "7.0"]


def test_rows_of_earlier_versions_that_are_longer_than_their_header_are_taken(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,loss\n5,1.0\n10,2.0,3.0\nbroken\n", encoding="utf-8")
    RunLog(tmp_path / "log.csv", 10, 30).write(20, {"loss": 4.0})
    assert (tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()[:3] == [
        "step,loss,seconds,left_seconds",
        "5,1.0,,",
        "10,2.0,,",
    ]


def test_means_are_of_the_steps_that_have_the_value() -> None:
    means = Means()
    for values in ({"a": 1.0, "b": 2.0}, {"a": 3.0}):
        means.add(values)
    assert means.take() == {"a": 2.0, "b": 2.0}
    assert means.take() == {}


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"log\.csv cannot be written"):
        RunLog(tmp_path / "file" / "log.csv", 0, 10).write(5, {"loss": 1.0})
