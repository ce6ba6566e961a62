"""MobileNetV2 1.0x."""

import torch

from DynamicSegLib.networks.mobilenet import InvertedResidual, MobileNetV2


def test_an_inverted_residual_adds_its_input_where_the_shape_stays() -> None:
    same, wider, smaller = (InvertedResidual(6, out, stride, 2).eval() for out, stride in ((6, 1), (8, 1), (6, 2)))
    x = torch.randn(1, 6, 8, 8)

    torch.testing.assert_close(same(x), x + same.body(x))
    assert torch.equal(wider(x), wider.body(x))
    assert smaller(x).shape == (1, 6, 4, 4)


def test_there_are_17_inverted_residuals_and_the_rest_is_a_32nd_of_the_size() -> None:
    network = MobileNetV2().eval()

    assert sum(isinstance(module, InvertedResidual) for module in network.modules()) == 17
    assert network.body(torch.randn(1, 4, 128, 96)).shape == (1, 1280, 4, 3)


def test_the_classifier_reads_the_mean_over_all_pixels() -> None:
    network, x = MobileNetV2(dropout=0.0), torch.randn(2, 4, 64, 64)

    features = network.features(x)

    torch.testing.assert_close(features, network.body(x).mean(dim=(2, 3)))
    assert features.std() > 0.1
    torch.testing.assert_close(network(x), network.classifier(features))
