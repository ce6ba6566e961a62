"""The decision network and the four backbones that the paper compares."""

import pytest
import torch
from torch import nn

from DynamicSegLib.cost import count
from DynamicSegLib.errors import BundleError
from DynamicSegLib.networks.decision import BACKBONES, DecisionNetwork


def trained_a_little(backbone: str, candidates: int = 4) -> DecisionNetwork:
    """In evaluation mode, with the statistics of one batch in its norms: fresh ones let the signal fade to nothing."""
    network = DecisionNetwork(backbone, candidates)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(torch.randn(8, 4, 40, 40))
        network.eval()
        assert network(torch.randn(1, 4, 40, 40)).choice_logits.std() > 0.01
    return network


every_backbone = pytest.mark.parametrize("backbone", BACKBONES)


@pytest.mark.parametrize(
    ("backbone", "published"),
    [
        ("shufflenetv2-m", 0.078),
        ("shufflenetv2-0.5x", 0.247),
        ("ghostnet-0.5x", 0.278),
        ("mobilenetv2-1.0x", 1.758),
    ],
)
def test_16_windows_cost_the_published_giga_flops(backbone: str, published: float) -> None:
    cost = count(BACKBONES[backbone](4, 5), (16, 4, 128, 128))

    assert round(cost.paper_flops / 1e9, 3) == published


def test_the_extra_heads_are_small_and_counted() -> None:
    plain, full = BACKBONES["shufflenetv2-m"](4, 5), DecisionNetwork("shufflenetv2-m", candidates=4)

    extra = count(full, (1, 4, 128, 128)).macs - count(plain, (1, 4, 128, 128)).macs

    assert extra == 256 * 4 + 256
    assert sum(p.numel() for p in full.parameters()) - 66_220 == (256 + 1) * 4 + (256 + 1)


@every_backbone
@pytest.mark.parametrize("size", [(240, 240), (33, 70), (1, 1)])
def test_any_input_size_gives_one_row_a_slice(backbone: str, size: tuple[int, int]) -> None:
    network = DecisionNetwork(backbone, candidates=2, in_channels=3).eval()

    output = network(torch.randn(2, 3, *size))

    assert output.choice_logits.shape == (2, 3)
    assert output.quality_logits.shape == (2, 2)
    assert output.log_area.shape == (2,)


@every_backbone
def test_the_choice_head_is_the_backbones_own_classifier(backbone: str) -> None:
    network, x = trained_a_little(backbone, candidates=3), torch.randn(2, 4, 40, 40)

    torch.testing.assert_close(network(x).choice_logits, network.backbone(x))


@every_backbone
def test_evaluation_is_deterministic_and_independent_of_the_batch(backbone: str) -> None:
    network, x = trained_a_little(backbone), torch.randn(3, 4, 40, 40)

    for whole, again, alone in zip(network(x), network(x), network(x[2:]), strict=True):
        assert torch.equal(whole, again)
        torch.testing.assert_close(whole[2:], alone, rtol=1e-4, atol=1e-5)


@every_backbone
def test_gradients_reach_all_parameters(backbone: str) -> None:
    network = DecisionNetwork(backbone)

    sum(part.square().sum() for part in network(torch.randn(4, 4, 40, 40))).backward()

    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_an_exported_decision_network_gives_the_same_three_outputs() -> None:
    network, x = trained_a_little("shufflenetv2-m"), torch.randn(2, 4, 48, 40)

    exported = torch.export.export(network, (torch.zeros_like(x),)).module()

    for expected, given in zip(network(x), exported(x), strict=True):
        torch.testing.assert_close(given, expected)


def test_an_unknown_backbone_is_named_with_those_that_exist() -> None:
    with pytest.raises(BundleError, match=r"'resnet'.*ghostnet-0\.5x.*shufflenetv2-m"):
        DecisionNetwork("resnet")


def test_a_bank_without_candidates_needs_no_decision_network() -> None:
    with pytest.raises(BundleError, match="0 candidates"):
        DecisionNetwork(candidates=0)
