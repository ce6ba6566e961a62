"""Once a bundle's networks are compiled on a computer, segmenting does not load torch, whose import takes seconds."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("openvino", reason="openvino is not installed: pip install 'DynamicSeg[openvino]'")

from DynamicSegLib.bundle import Bundle
from Testing.tiny import head_images, write_case, write_tiny_bundle
from Testing.tiny_methods import write_tiny_v2_bundle

_SEGMENT = "import sys; from DynamicSegLib.cli.main import main; code = main(sys.argv[1:]); "
_REPORT = "sys.exit(code or (3 if 'torch' in sys.modules else 0))"


@pytest.mark.parametrize("write", [write_tiny_bundle, write_tiny_v2_bundle])
def test_the_second_run_of_a_bundle_does_not_load_torch(write: Callable[[Path], Bundle], tmp_path: Path) -> None:
    case = write_case(tmp_path / "case", head_images())
    environment = {**os.environ, "DYNAMICSEG_HOME": str(tmp_path / "home")}
    bundle = write(tmp_path / "home" / "bundles").name
    labels = []
    for place, expected in (("first", 3), ("second", 0)):
        output = tmp_path / place
        command = [sys.executable, "-c", _SEGMENT + _REPORT, "segment", str(case), "--output", str(output)]
        command += ["--bundle", bundle, "--backend", "openvino", "--precision", "fp32", "--budget", "60%"]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == expected, ended.stdout + ended.stderr
        labels.append((output / "segmentation.nii.gz").read_bytes())
    assert labels[0] == labels[1]
