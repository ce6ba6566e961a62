"""The network of Med-DANet V2 and how it runs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from DynamicSegLib.cost import count
from DynamicSegLib.errors import BundleError
from DynamicSegLib.networks.cropping import crop, paste
from DynamicSegLib.networks.dynamic import DynamicNetwork
from DynamicSegLib.networks.pieces import Position, Stages
from DynamicSegLib.networks.registry import build_network
from DynamicSegLib.networks.stage_by_stage import STAGES, StagedExecution
from DynamicSegLib.networks.staged import StagedNetwork
from DynamicSegLib.networks.transbts import TransBTS2D
from DynamicSegLib.networks.unet import UNet2D
from Testing.tiny_methods import divide_bits

SPACES = [(8, 16), ((8, 16), (8,), (8,), (8,)), ((8,), (8, 16), (16,), (8, 16)), (8,), (32,)]


def tiny(crop_size: int = 0, **arguments: object) -> DynamicNetwork:
    """Random weights; selectors that choose differently from slice to slice; limits as after training."""
    torch.manual_seed(3)
    network = DynamicNetwork(
        crop_size, **{"crops": (16,), "in_channels": 2, "out_channels": 3, "width": 4, **arguments}
    )
    network.train()
    with torch.no_grad():
        network.dense(torch.randn(4, 2, 40, 48), 0, quantised=False)
    return divide_bits(network.eval(), slices())


def slices(n: int = 5, rows: int = 40, columns: int = 48) -> torch.Tensor:
    x = torch.randn(n, 2, rows, columns, generator=torch.Generator().manual_seed(5))
    return x * torch.linspace(0.2, 2, n)[:, None, None, None]


@pytest.mark.parametrize(
    ("size", "stages", "rest"),
    [
        (128, (94_371_840, 169_869_312, 169_869_312, 301_989_888), 281_018_368),
        (96, (53_084_160, 95_551_488, 95_551_488, 169_869_312), 158_072_832),
    ],
)
def test_stage_costs_are_the_papers(size: int, stages: tuple[int, ...], rest: int) -> None:
    network = StagedNetwork(bits=(32,))
    shapes = [(1, 16 << index, size >> index, size >> index) for index in range(STAGES)]
    counted = [count(Stages(network, index, (32,)), shape).macs for index, shape in enumerate(shapes)]
    assert tuple(counted) == stages
    whole = count(UNet2D(), (1, 4, size, size)).macs
    assert whole - sum(counted) == rest


def test_the_whole_slice_at_32_bits_costs_what_m2_costs() -> None:
    ours = count(DynamicNetwork(0, crops=(), bits=(32,)), (1, 4, 128, 128))
    m2 = count(UNet2D(), (1, 4, 128, 128))
    assert (ours.macs, ours.paper_flops) == (m2.macs, m2.paper_flops) == (1_017_118_720, 1_067_319_296)


def test_without_quantisation_the_network_is_its_base() -> None:
    for base, plain in (("unet2d", UNet2D(2, 3, 4)), ("transbts2d", TransBTS2D(2, 3, 1, 40, 4))):
        network = tiny(base=base, size=40)
        network.load_base({name: torch.randn_like(v) * 0.1 if v.is_floating_point() and "var" not in name else v
                           for name, v in plain.state_dict().items()})  # fmt: skip
        plain.load_state_dict(
            {k: v for k, v in network.segmentation.network.state_dict().items() if k in plain.state_dict()}
        )
        x = slices(2)
        torch.testing.assert_close(network.dense(x, 0, quantised=False)[0], plain.eval()(x))


def test_weights_of_another_shape_are_refused() -> None:
    with pytest.raises(BundleError, match="do not fit"):
        tiny().load_base(UNet2D(2, 3, 6).state_dict())


def test_a_slice_gets_the_same_logits_alone_and_beside_slices_of_other_bits() -> None:
    network, x = tiny(), slices()
    executed = network.execution((40, 48))(x)
    assert len(np.unique(executed.bits, axis=0)) > 1
    for index in range(len(x)):
        alone = network.execution((40, 48))(x[index : index + 1])
        assert np.array_equal(alone.bits[0], executed.bits[index])
        torch.testing.assert_close(alone.output[0], executed.output[index], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("bits", SPACES)
def test_execution_gives_the_logits_of_training_for_whole_slices(bits: tuple[int, ...]) -> None:
    network, x = tiny(bits=bits), slices()
    logits, bits = network.dense(x, 0)
    executed = network.execution((40, 48))(x)
    assert np.array_equal(bits.long().numpy(), executed.bits)
    torch.testing.assert_close(executed.output, logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("bits", SPACES)
@pytest.mark.parametrize(("rows", "columns", "start"), [
    (40, 48, (4, 4)), (40, 48, (20, 28)), (40, 48, (7, 19)), (22, 21, (3, 2)), (24, 23, (4, 3)),
])  # fmt: skip
def test_a_crop_is_run_as_if_its_features_were_pasted_on_the_whole_map(
    rows: int, columns: int, start: tuple[int, int], bits: tuple[int, ...]
) -> None:
    network, x = tiny(16, bits=bits), slices(2, rows, columns)
    centre = torch.tensor([[start[0] + 8.0, start[1] + 8.0]]).expand(2, 2)
    execution = network.execution((rows, columns))
    pieces = replace(execution.pieces, position=lambda _: (centre[:, None],))
    executed = StagedExecution(pieces, execution.spaces, 4, 16)(x)
    assert executed.start is not None
    assert executed.start.tolist() == [list(start)] * 2
    features, _ = network.segmentation.features(crop(x, centre, 16))
    expected = network.segmentation.last(paste(features, centre, (rows, columns)))
    torch.testing.assert_close(executed.output, expected, atol=1e-4, rtol=1e-4)
    assert executed.output.std() > 0.1


def test_slices_no_larger_than_the_crop_are_run_whole() -> None:
    x = slices(2, 16, 24)
    torch.testing.assert_close(tiny(16)(x), tiny(0)(x))


def test_the_position_network_and_the_selectors_are_in_the_cost() -> None:
    network = DynamicNetwork(96)
    cropped, whole = count(network, (1, 4, 240, 240)), count(DynamicNetwork(0), (1, 4, 240, 240))
    assert network.position is not None
    position = count(Position(network.position), (1, 4, 240, 240)).macs
    selectors = sum(count(s, (1, 16 << i, 8, 8)).macs for i, s in enumerate(network.segmentation.selectors.values()))
    base = count(UNet2D(), (1, 4, 240, 240)).macs
    assert selectors == sum((16 << i) * 16 + 16 + 2 * 16 for i in range(4))
    assert whole.macs == base + selectors
    inside = count(UNet2D(), (1, 4, 96, 96)).macs
    # The last stage runs on the crop and 4 pixels around it: the residual pair and the head, on 104 x 104 pixels.
    last = (2 * 16 * 16 * 9 + 16 * 4) * (104 * 104 - 96 * 96)
    assert cropped.macs == inside + last + position + selectors


@pytest.mark.parametrize("bits", [(8,), (8, 12), (8, 16), (12, 16), (8, 12, 16)])
def test_the_counted_cost_is_that_of_the_widest_bits(bits: tuple[int, ...]) -> None:
    stages = sum((94_371_840, 169_869_312, 169_869_312, 301_989_888))
    full = count(DynamicNetwork(0, bits=(32,)), (1, 4, 128, 128)).paper_flops
    network = DynamicNetwork(0, bits=bits)
    shapes = {index: (1, 16 << index, 128 >> index, 128 >> index) for index in range(STAGES)}
    selectors = sum(count(s, shapes[int(i)]).paper_flops for i, s in network.segmentation.selectors.items())
    assert count(network, (1, 4, 128, 128)).paper_flops == full - stages * (32 - bits[-1]) // 32 + selectors


def test_gradients_reach_position_selectors_and_weights() -> None:
    network = tiny(16).train()
    x = slices(4)
    assert network.position is not None
    for selector in network.segmentation.selectors.values():
        torch.nn.init.normal_(selector.first.weight, std=0.1)
        torch.nn.init.normal_(selector.second.weight, std=0.1)
    logits, bits = network.dense(x, 16, network.position(x)[:, 0])
    (logits.square().mean() + bits.mean()).backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert silent == []
    assert network.position.backbone.classifier.weight.grad.abs().sum() > 0  # type: ignore[union-attr]
    assert all(s.second.weight.grad.abs().sum() > 0 for s in network.segmentation.selectors.values())


def test_a_piece_of_the_start_gives_bit_logits_only_where_there_is_a_choice() -> None:
    x = torch.rand(1, 4, 16, 16)
    assert len(Stages(StagedNetwork(width=4), 0, (), stem=True).eval()(x)) == 2
    assert len(Stages(StagedNetwork(width=4, bits=(8,)), 0, (), stem=True).eval()(x)) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"crop": 64},
        {"crops": [20]},
        {"crops": [96, 64]},
        {"bits": [16, 8]},
        {"bits": []},
        {"base": "resnet"},
        {"bits": [[8, 16], [8], [8]]},
        {"bits": [[8, 16], [8], [], [8]]},
        {"bits": [8, [8, 16]]},
    ],
)
def test_an_impossible_policy_space_is_a_clear_error(arguments: dict[str, object]) -> None:
    with pytest.raises(BundleError):
        build_network("med-danet-v2", arguments)
