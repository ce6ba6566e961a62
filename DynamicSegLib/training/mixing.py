"""Tumours moved between patients: a region around one sample's tumour is pasted into another sample of the batch.

Source: CarveMix (MICCAI 2021) and TumorCP (MICCAI 2021), reduced to slices of one batch.
Deviation: the carved region is the tumour with a margin of random width, not a level set of the distance to it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_LARGEST_MARGIN = 5


def carve_mix(images: Tensor, classes: Tensor, chosen: Tensor, margin: int) -> tuple[Tensor, Tensor]:
    """Paste into each chosen sample the carved region of the next sample of the batch.

    images: float `[n, modality, row, column]`; classes: float `[n, 1, row, column]`; chosen: bool `[n]`; margin: pixels
    around the tumour that go with it. Only what falls into the receiving head is pasted.
    """
    donors, donor_classes = images.roll(1, 0), classes.roll(1, 0)
    carved = F.max_pool2d((donor_classes > 0).float(), 2 * margin + 1, stride=1, padding=margin) > 0
    heads = (images != 0).any(dim=1, keepdim=True) & (donors != 0).any(dim=1, keepdim=True)
    region = carved & heads & chosen[:, None, None, None]
    return torch.where(region, donors, images), torch.where(region, donor_classes, classes)


def random_margin(share: float) -> int:
    """A margin in pixels for a uniform draw `share` of 0..1."""
    return round(share * _LARGEST_MARGIN)
