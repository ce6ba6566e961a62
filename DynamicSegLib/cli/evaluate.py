"""`dynamicseg evaluate`: how well a segmentation agrees with a reference."""

import argparse
import json
from pathlib import Path


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "evaluate",
        help="Dice and Hausdorff distance against a reference",
        description="Dice and 95 % Hausdorff distance (mm) of WT, TC and ET where both volumes hold no labels but 1, "
        "2 and 4, of each label otherwise. A structure that is empty in both scores 1 and 0 mm, in one of them 0 and "
        "373.13 mm, as in the BraTS challenges.",
    )
    parser.add_argument("prediction", type=Path, help="label volume, e.g. segmentation.nii.gz")
    parser.add_argument("reference", type=Path, help="label volume on the same grid")
    structures = parser.add_mutually_exclusive_group()
    structures.add_argument("--bundle", help="take the structures from this bundle")
    structures.add_argument("--labels", action="store_true", help="each label by itself, whatever the values")
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Print the scores."""
    import numpy as np

    from DynamicSegLib.bundles import load_bundle
    from DynamicSegLib.errors import InputError
    from DynamicSegLib.evaluation.metrics import score_volume
    from DynamicSegLib.evaluation.structures import Structures
    from DynamicSegLib.geometry import SAME_GRID_VOXELS, describe_grid, grid_difference_voxels
    from DynamicSegLib.methods.glioma import REGIONS
    from DynamicSegLib.reading import label_values, read_volume

    paths = (options.prediction, options.reference)
    images = [read_volume(path) for path in paths]
    prediction, reference = (label_values(image, path) for image, path in zip(images, paths, strict=True))
    if grid_difference_voxels(images[1], images[0]) >= SAME_GRID_VOXELS:
        raise InputError(
            f"{options.prediction} ({describe_grid(images[0])}) and {options.reference} ({describe_grid(images[1])}) "
            "lie on different grids: compare volumes of the same scan."
        )
    values = sorted({int(value) for value in np.union1d(prediction, reference)} - {0})
    if options.bundle is not None:
        structures = Structures.of_values(load_bundle(options.bundle))
        known = {value for members in structures.members.values() for value in members}
        foreign = sorted(set(values) - known)
        if foreign:
            raise InputError(
                f"Label {foreign[0]} is none of bundle {options.bundle!r}, which has "
                f"{', '.join(map(str, sorted(known)))}: relabel the volume, or pass --labels for each label by itself."
            )
    elif set(values) <= {1, 2, 4} and not options.labels:
        structures = Structures(REGIONS)
    elif not values:
        raise InputError(f"{options.prediction} and {options.reference} hold no label: there is nothing to compare.")
    else:
        structures = Structures({str(value): (value,) for value in values})
    column, row, between = images[1].GetSpacing()
    scores = score_volume(prediction, reference, structures, (between, row, column))
    if options.json:
        print(json.dumps({name: {"dice": score.dice, "hd95_mm": score.hd95_mm} for name, score in scores.items()}))
        return 0
    for name, score in scores.items():
        print(f"{name:<6} Dice {score.dice:.3f}   HD95 {score.hd95_mm:.1f} mm")
    return 0
