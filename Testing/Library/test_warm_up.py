"""Compiling ahead: in a child process, once, and gone without a trace when it is no longer wanted."""

import time
from pathlib import Path

import pytest

from DynamicSegLib.backends import openvino_models
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.study import Study, build_study
from DynamicSegLib.warm_up import WarmUp
from Testing.tiny import head_images, write_tiny_bundle

pytestmark = pytest.mark.skipif(not openvino_models.is_installed(), reason="openvino is not installed")


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setenv("DYNAMICSEG_HOME", str(tmp_path / "home"))
    return write_tiny_bundle(tmp_path)


@pytest.fixture
def study(bundle: Bundle) -> Study:
    return build_study(head_images(), bundle.input)


def test_the_child_leaves_compiled_models_and_is_needed_no_more(bundle: Bundle, study: Study, tmp_path: Path) -> None:
    warm_up = WarmUp(study, bundle)
    assert warm_up.needed and not warm_up.running
    with warm_up:
        while warm_up.running:
            time.sleep(0.05)
    assert not warm_up.needed and not WarmUp(study, bundle).needed
    assert list((tmp_path / "home" / "cache" / "openvino").glob("*.blob"))


def test_leaving_early_ends_the_child_and_counts_for_nothing(bundle: Bundle, study: Study) -> None:
    with WarmUp(study, bundle) as warm_up:
        assert warm_up.running
    assert not warm_up.running and warm_up.needed


def test_nothing_is_compiled_ahead_for_a_gpu(bundle: Bundle, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("DynamicSegLib.warm_up.has_cuda", lambda: True)
    assert [WarmUp(study, bundle, device).needed for device in ("auto", "cuda:1", "cpu")] == [False, False, True]
