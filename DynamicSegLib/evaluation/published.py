"""The papers' own rows, to print beside ours. Dice in percent, Hausdorff distance in mm, paper FLOPs in G."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedRow:
    """One row. `dice`, `hd95_mm`: (ET, WT, TC). Costs in G paper FLOPs; None where the paper gives none."""

    method: str
    dice: tuple[float, float, float]
    hd95_mm: tuple[float, float, float] | None = None
    per_case: float | None = None
    per_slice: float | None = None
    per_inference: float | None = None
    all_cases: float | None = None


TABLES: dict[str, tuple[PublishedRow, ...]] = {
    "1": (
        PublishedRow("3D U-Net", (70.86, 87.38, 72.48), (5.062, 9.432, 8.719), 1669.53, None, 13.04),
        PublishedRow("Attention U-Net", (75.96, 88.81, 77.20), (5.202, 7.756, 8.258), 132.67, None, 1.04),
        PublishedRow("TransUNet", (78.17, 89.48, 78.91), (4.832, 6.667, 7.365), 1205.76, None, 9.42),
        PublishedRow("Swin-UNet", (78.49, 89.38, 78.75), (6.925, 7.505, 9.260), 250.88, None, 1.96),
        PublishedRow("TransBTS", (78.36, 88.89, 81.41), (5.908, 7.599, 7.584), 333.09, None, 2.60),
        PublishedRow("Med-DANet", (79.99, 90.13, 80.83), (4.086, 5.826, 6.886), 77.78, None, 0.61),
    ),
    "3 window": (
        PublishedRow("M1", (75.49, 90.21, 81.58), None, 1500.40, 9.68, 0.61, 99026.40),
        PublishedRow("M2", (78.31, 90.61, 82.59), None, 2646.16, 17.07, 1.07, 174646.57),
        PublishedRow("M3", (78.72, 90.30, 82.99), None, 5847.84, 37.73, 2.36, 385957.45),
        PublishedRow("M4", (77.21, 91.08, 83.27), None, 12347.92, 79.66, 4.98, 814962.73),
        PublishedRow("Med-DANet", (78.75, 90.40, 83.13), None, 1551.485, 10.01, 0.63, 102398.01),
    ),
    "3 whole": (
        PublishedRow("M1", (76.86, 90.16, 80.43), None, 329.53, 2.13, 2.13, 21748.98),
        PublishedRow("M2", (77.22, 89.99, 81.61), None, 581.25, 3.75, 3.75, 38362.50),
        PublishedRow("M3", (76.64, 90.16, 82.21), None, 1376.71, 8.88, 8.88, 90862.86),
        PublishedRow("M4", (76.48, 90.57, 83.21), None, 3081.09, 19.88, 19.88, 203351.94),
        PublishedRow("Med-DANet", (77.73, 90.65, 82.72), None, 578.96, 3.74, 3.74, 38211.12),
    ),
    "4": (
        PublishedRow("alpha 0.0001", (78.84, 90.48, 83.28), None, 1966.20, 12.69, 0.79, 129768.88),
        PublishedRow("alpha 0.001", (77.00, 90.17, 82.34), None, 787.80, 5.08, 0.32, 51994.98),
        PublishedRow("alpha 0.01", (77.21, 90.19, 81.80), None, 756.83, 4.88, 0.31, 49951.03),
        PublishedRow("softmax both", (77.00, 90.17, 82.34), None, 787.80, 5.08, 0.32, 51994.98),
        PublishedRow("softmax score", (75.57, 90.10, 81.85), None, 731.15, 4.72, 0.29, 48255.83),
        PublishedRow("softmax cost", (78.75, 90.40, 83.13), None, 1551.485, 10.01, 0.63, 102398.01),
        PublishedRow("softmax none", (77.12, 90.31, 82.66), None, 1054.83, 6.81, 0.43, 69618.70),
    ),
    "5": (
        PublishedRow("mobilenetv2-1.0x", (78.54, 90.22, 82.44), None, 5061.31, 32.65, 2.04, 334046.58),
        PublishedRow("ghostnet-0.5x", (75.57, 90.19, 81.48), None, 1250.56, 8.07, 0.50, 82536.60),
        PublishedRow("shufflenetv2-0.5x", (77.20, 90.19, 81.48), None, 1463.73, 9.44, 0.59, 96606.43),
        PublishedRow("shufflenetv2-m", (77.00, 90.17, 82.34), None, 787.80, 5.08, 0.32, 51994.98),
    ),
    "6": (
        PublishedRow("0 (skip only)", (9.09, 0.0, 0.0), None, 0.0, 0.0, 0.0, 0.00),
        PublishedRow("2 (1 CNN + 1 TR)", (75.60, 90.15, 82.11), None, 821.94, 5.30, 0.33, 54247.84),
        PublishedRow("4 (2 CNN + 2 TR)", (77.00, 90.17, 82.34), None, 787.80, 5.08, 0.32, 51994.98),
        PublishedRow("6 (3 CNN + 3 TR)", (78.71, 90.76, 82.92), None, 1274.70, 8.22, 0.51, 84130.02),
    ),
    "8": (
        PublishedRow("individual training", (75.73, 90.25, 82.31), None, 962.87, 7.52, None),
        PublishedRow("joint training", (78.75, 90.40, 83.13), None, 1551.485, 10.01, None),
    ),
}
"""By table of Med-DANet (ECCV 2022). "per slice" of Table 1 is one inference on 128 x 128: it stands in the column of
that meaning here. Table 4's "alpha" rows have softmax on both terms."""

_WINDOWS = "The paper's: 66 cases of 155 slices of 240 x 240, 16 windows of 128 x 128, an inference each, a slice"
UNITS = {
    "1": "The paper's: a case as printed, 128 inferences on 128 x 128; what it calls a slice is one of these.",
    "3 window": f"{_WINDOWS}.",
    "3 whole": "The paper's: 66 cases of 155 slices, one inference on 240 x 240 a slice.",
    "4": f"{_WINDOWS}.",
    "5": f"{_WINDOWS}.",
    "6": f"{_WINDOWS}.",
    "8": f"{_WINDOWS}; its row of individual training divides a case by 128 slices, not by 155.",
}
"""What the costs of each table's rows are of."""
