"""The loss of a candidate: MONAI's softmax Dice over the foreground classes, and cross-entropy where asked for."""

from torch import Tensor, nn


class SegmentationLoss(nn.Module):
    """Softmax Dice over the whole batch (classes 1 and above), plus `cross_entropy` times the cross-entropy.

    Inputs: logits float `[n, class, row, column]`, classes int64 `[n, row, column]`. Output: scalar.

    Source: Med-DANet, Sec. 4.1: the mean softmax Dice loss of the candidates.
    Deviation: with `cross_entropy` above 0 (small-data setting) it converges in fewer steps.
    """

    def __init__(self, cross_entropy: float = 0.0) -> None:
        super().__init__()
        from monai.losses import DiceLoss

        self.dice = DiceLoss(
            include_background=False, to_onehot_y=True, softmax=True, batch=True, smooth_nr=1.0, smooth_dr=1.0
        )
        self.cross_entropy = cross_entropy

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        logits = logits.float()
        loss: Tensor = self.dice(logits, classes[:, None])
        if self.cross_entropy > 0:
            loss = loss + self.cross_entropy * nn.functional.cross_entropy(logits, classes)
        return loss
