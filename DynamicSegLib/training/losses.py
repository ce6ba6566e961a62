"""The loss of a candidate: MONAI's softmax Dice over the foreground classes, and cross-entropy where asked for."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class SegmentationLoss(nn.Module):
    """Softmax Dice over the whole batch (classes 1 and above), plus `cross_entropy` times the cross-entropy.

    Inputs: logits float `[n, class, row, column]`, classes int64 `[n, row, column]`. Output: scalar.

    Parameters
    ----------
    regions: unions of classes whose Dice counts instead of that of single classes, e.g. those of an evaluation.

    Source: Med-DANet, Sec. 4.1: the mean softmax Dice loss of the candidates.
    Deviation: with `cross_entropy` above 0 (small-data setting) it converges in fewer steps; `regions` as in Isensee et
    al., nnU-Net for brain tumor segmentation (2020), Sec. 2.2, but of one softmax, so that labels need no order.
    """

    def __init__(self, cross_entropy: float = 0.0, regions: Sequence[Sequence[int]] = ()) -> None:
        super().__init__()
        from monai.losses import DiceLoss

        self.dice = DiceLoss(batch=True, smooth_nr=1.0, smooth_dr=1.0)
        self.cross_entropy = cross_entropy
        self.regions = [list(region) for region in regions]

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        logits = logits.float()
        share = logits.softmax(dim=1)
        regions = self.regions or [[index] for index in range(1, share.shape[1])]
        found = torch.stack([share[:, region].sum(dim=1) for region in regions], dim=1)
        truth = torch.stack([torch.isin(classes, classes.new_tensor(region)) for region in regions], dim=1)
        loss: Tensor = self.dice(found, truth.float())
        if self.cross_entropy > 0:
            loss = loss + self.cross_entropy * nn.functional.cross_entropy(logits, classes)
        return loss
