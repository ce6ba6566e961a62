"""Segments every case of a folder in Slicer, without window and without questions.

    Slicer --no-main-window --python-script segment_folder.py CASES OUTPUT --budget 40%

CASES holds one folder a case, each with volumes that are recognised by their names. OUTPUT gets one folder a case:
segmentation.seg.nrrd (with names, colors and codes, on the scan's own grid), decisions.csv and summary.json. A case
that fails is reported and left out; the others go on. Ends with 0, or with 1 where a case failed.
"""

import argparse
import json
import sys
import traceback
from pathlib import Path

import slicer

from DynamicSegLib.bundles import load_bundle
from DynamicSegLib.errors import DynamicSegError
from DynamicSegLib.reading import read_case


def segmentCase(case: Path, output: Path, options: argparse.Namespace) -> dict[str, float]:
    """Segments one case as the options of the command say; returns the volume of each label in mL."""
    from DynamicSeg import DynamicSegLogic
    from DynamicSegLib.scene.volumes import volume_node_from_image

    images = read_case(case, load_bundle(options.bundle).input.modalities)
    volumes = {name: volume_node_from_image(image, f"{case.name}_{name}") for name, image in images.items()}
    result, summary = DynamicSegLogic().process(
        volumes,
        options.bundle,
        options.budget,
        device=options.device,
        name=case.name,
        perVolume=options.per_volume,
    )
    output.mkdir(parents=True, exist_ok=True)
    slicer.util.saveNode(result.segmentation, str(output / "segmentation.seg.nrrd"))
    slicer.util.saveNode(result.table, str(output / "decisions.csv"))
    (output / "summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return dict(summary["volumes_ml"])


def main(arguments: list[str]) -> int:
    """The whole run; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--bundle", default="glioma")
    parser.add_argument("--budget", default=None, help="300G, 40%% or 5s")
    parser.add_argument("--per-volume", action="store_true", help="one network for all slices (MutualNet)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    options = parser.parse_args(arguments)
    failed = []
    for case in sorted(path for path in options.cases.iterdir() if path.is_dir()):
        slicer.mrmlScene.Clear()
        try:
            volumes = segmentCase(case, options.output / case.name, options)
        except DynamicSegError as error:
            failed.append(case.name)
            print(f"{case.name}: {error}", file=sys.stderr)
        except Exception:
            failed.append(case.name)
            print(f"{case.name}: something unexpected failed\n{traceback.format_exc()}", file=sys.stderr)
        else:
            print(f"{case.name}: " + ", ".join(f"{name} {value:.1f} mL" for name, value in volumes.items()))
    slicer.mrmlScene.Clear()
    return 1 if failed else 0


if __name__ == "__main__":
    slicer.util.exit(main(sys.argv[1:]))
