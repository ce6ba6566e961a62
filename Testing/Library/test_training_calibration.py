"""Calibration of promised qualities."""

import torch

from DynamicSegLib.networks.decision import DecisionNetwork
from DynamicSegLib.training.calibration import apply_calibration, fit_calibration


def test_a_shift_of_promised_quality_is_found_and_taken_back() -> None:
    torch.manual_seed(0)
    truth = torch.randn(400, 2) + 1
    scale, shift = fit_calibration(truth + torch.tensor([2.0, 0.0]), torch.sigmoid(truth))
    calibrated = torch.sigmoid((truth + torch.tensor([2.0, 0.0])) * scale + shift)
    assert (calibrated - torch.sigmoid(truth)).mean(dim=0).abs().max() < 0.02


def test_a_calibrated_network_promises_the_calibrated_quality_at_no_cost() -> None:
    torch.manual_seed(0)
    network = DecisionNetwork("shufflenetv2-m", 2, 4).eval()
    x = torch.randn(2, 4, 64, 64)
    with torch.no_grad():
        before = network(x)
        scale, shift = torch.tensor([0.5, 2.0]), torch.tensor([-1.0, 0.25])
        apply_calibration(network, scale, shift)
        after = network(x)
    torch.testing.assert_close(after.quality_logits, before.quality_logits * scale + shift)
    assert torch.equal(after.choice_logits, before.choice_logits)
