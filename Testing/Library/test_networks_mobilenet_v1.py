"""MobileNetV1 at every width and resolution: the cost table of MutualNet, lecture 12."""

import pytest
import torch

from DynamicSegLib.cost import count
from DynamicSegLib.networks.mobilenet_v1 import MobileNetV1, slimmable_mobilenet_v1
from DynamicSegLib.networks.slimmable import Configuration
from DynamicSegLib.networks.slimmable_network import recalibrate

WIDTHS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25)
# Lecture 12, "Method (MutualNet Inference)": MFLOPs by resolution, widths as above.
TABLE = {
    224: (569, 518, 466, 421, 366, 325, 287, 249, 217, 177, 149, 124, 100, 80, 64, 41),
    192: (418, 380, 342, 309, 269, 239, 211, 183, 159, 130, 109, 91, 73, 59, 47, 30),
    160: (290, 265, 239, 215, 187, 166, 146, 127, 111, 90, 76, 63, 51, 41, 32, 21),
    128: (186, 170, 152, 138, 120, 106, 94, 81, 71, 58, 49, 40, 32, 26, 21, 13),
}


@pytest.mark.parametrize("width", WIDTHS)
def test_the_lectures_table_is_reproduced_within_a_million(width: float) -> None:
    with torch.device("meta"):
        plain = slimmable_mobilenet_v1().plain(Configuration(width))
    published = [row[WIDTHS.index(width)] for row in TABLE.values()]

    counted = [count(plain, (1, 3, resolution, resolution)).macs / 1e6 for resolution in TABLE]

    assert counted == pytest.approx(published, abs=1.0)


def test_full_width_costs_568740352_multiply_accumulates() -> None:
    with torch.device("meta"):
        network = MobileNetV1()

    assert count(network, (1, 3, 224, 224)).macs == 568_740_352


def test_the_plain_network_gives_the_slimmable_ones_logits() -> None:
    torch.manual_seed(0)
    network = slimmable_mobilenet_v1(classes=5).eval()
    configuration = Configuration(0.3)
    recalibrate(network, configuration, [torch.randn(4, 3, 64, 64)])
    x = torch.randn(2, 3, 64, 64)

    with torch.no_grad():
        torch.testing.assert_close(
            network.plain(configuration).eval()(x), network(x, configuration), atol=1e-5, rtol=1e-4
        )


def test_logits_of_resized_images_are_not_resized() -> None:
    network = slimmable_mobilenet_v1(classes=5).train()

    assert network(torch.randn(2, 3, 80, 80), Configuration(0.25, 120)).shape == (2, 5)
