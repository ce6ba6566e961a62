"""The loss of a candidate: MONAI's softmax Dice over the foreground classes, and cross-entropy where asked for."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from DynamicSegLib.errors import TrainingError


class RegionDice(nn.Module):
    """Dice loss over the whole batch: the mean over classes 1 and above, or over `regions`.

    Inputs: class probabilities float `[n, class, row, column]`, classes int64 `[n, row, column]`. Output: scalar.

    Parameters
    ----------
    regions: unions of classes whose Dice counts instead of that of single classes, e.g. those of an evaluation.

    Deviation from the papers: `regions`, as in Isensee et al., nnU-Net for brain tumor segmentation (2020), Sec. 2.2,
    but of one softmax, so that labels need no order.
    """

    def __init__(self, regions: Sequence[Sequence[int]] = ()) -> None:
        super().__init__()
        from monai.losses import DiceLoss

        self.dice = DiceLoss(batch=True, smooth_nr=1.0, smooth_dr=1.0)
        self.regions = [list(region) for region in regions]

    def forward(self, share: Tensor, classes: Tensor) -> Tensor:
        regions = self.regions or [[index] for index in range(1, share.shape[1])]
        found = torch.stack([share[:, region].sum(dim=1) for region in regions], dim=1)
        truth = torch.stack([torch.isin(classes, classes.new_tensor(region)) for region in regions], dim=1)
        loss: Tensor = self.dice(found, truth.float())
        return loss


class SegmentationLoss(nn.Module):
    """Softmax Dice (see `RegionDice`), plus `cross_entropy` times the cross-entropy.

    Inputs: logits float `[n, class, row, column]`, classes int64 `[n, row, column]`. Output: scalar.

    Source: Med-DANet, Sec. 4.1: the mean softmax Dice loss of the candidates.
    Deviation: with `cross_entropy` above 0 (small-data setting) it converges in fewer steps.
    """

    def __init__(self, cross_entropy: float = 0.0, regions: Sequence[Sequence[int]] = ()) -> None:
        super().__init__()
        self.dice, self.cross_entropy = RegionDice(regions), cross_entropy

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        logits = logits.float()
        loss: Tensor = self.dice(logits.softmax(dim=1), classes)
        if self.cross_entropy > 0:
            loss = loss + self.cross_entropy * nn.functional.cross_entropy(logits, classes)
        return loss


def require_classes(regions: Sequence[Sequence[int]], classes: int) -> None:
    """TrainingError where a region is empty, or holds what is no class of the foreground.

    `classes`: how many, background included.
    """
    wrong = [index for region in regions for index in region if not 0 < index < classes]
    if wrong or not all(regions):
        raise TrainingError(
            f"regions {list(map(list, regions))}: expected class indices from 1 to {classes - 1} (not the values that "
            "labels have in files), at least one a region."
        )
