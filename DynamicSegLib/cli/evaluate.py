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
    parser.add_argument("prediction", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--bundle", help="take the structures from this bundle")
    parser.add_argument("--labels", action="store_true", help="each label by itself, whatever the values")
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Print the scores."""
    import numpy as np
    import SimpleITK as sitk

    from DynamicSegLib.bundles import load_bundle
    from DynamicSegLib.errors import InputError
    from DynamicSegLib.evaluation.metrics import score_volume
    from DynamicSegLib.evaluation.structures import Structures
    from DynamicSegLib.geometry import SAME_GRID_VOXELS, describe_grid, grid_difference_voxels
    from DynamicSegLib.methods.glioma import REGIONS
    from DynamicSegLib.reading import read_volume

    images = [read_volume(path) for path in (options.prediction, options.reference)]
    for path, image in zip((options.prediction, options.reference), images, strict=True):
        if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
            raise InputError(f"{path} is no 3D label volume ({image.GetDimension()}D): give one.")
    if grid_difference_voxels(images[1], images[0]) >= SAME_GRID_VOXELS:
        raise InputError(
            f"{options.prediction} ({describe_grid(images[0])}) and {options.reference} ({describe_grid(images[1])}) "
            "lie on different grids: compare volumes of the same scan."
        )
    prediction, reference = (sitk.GetArrayFromImage(image).astype(np.uint8) for image in images)
    values = sorted(set(np.unique(prediction)) | set(np.unique(reference)) - {0})
    if options.bundle is not None:
        structures = Structures.of_values(load_bundle(options.bundle))
    elif set(values) - {0} <= {1, 2, 4} and not options.labels:
        structures = Structures(REGIONS)
    else:
        structures = Structures({str(value): (int(value),) for value in values if value})
    column, row, between = images[1].GetSpacing()
    scores = score_volume(prediction, reference, structures, (between, row, column))
    if options.json:
        print(json.dumps({name: {"dice": score.dice, "hd95_mm": score.hd95_mm} for name, score in scores.items()}))
        return 0
    for name, score in scores.items():
        print(f"{name:<6} Dice {score.dice:.3f}   HD95 {score.hd95_mm:.1f} mm")
    return 0
