"""The cost counter: the papers' figures to the last digit, and tiny networks counted by hand."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from DynamicSegLib.cost import Cost, count
from DynamicSegLib.networks.registry import build_network

M1, M2 = ("unet2d", {"base": 12}), ("unet2d", {"base": 16})


def m3(size: int) -> tuple[str, dict[str, int]]:
    return "transbts2d", {"layers": 1, "size": size}


def m4(size: int) -> tuple[str, dict[str, int]]:
    return "transbts2d", {"layers": 4, "size": size}


# candidate, input size, true multiply-accumulates, paper FLOPs, parameters, the paper's figure in G
PUBLISHED = [
    (M1, 128, 574_095_360, 604_667_904, 907_540, 0.61),
    (M2, 128, 1_017_118_720, 1_067_319_296, 1_611_332, 1.07),
    (m3(128), 128, 2_304_770_048, 2_357_755_904, 6_518_596, 2.36),
    (m4(128), 128, 4_922_015_744, 4_978_933_760, 15_971_140, 4.98),
    (M1, 240, 2_018_304_000, 2_125_785_600, 907_540, 2.13),
    (M2, 240, 3_575_808_000, 3_752_294_400, 1_611_332, 3.75),
    (m3(240), 240, 8_696_217_600, 8_882_496_000, 6_848_324, 8.88),
    (m4(240), 240, 19_678_003_200, 19_878_105_600, 16_300_868, 19.88),
]


class Lambda(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class SelfAttention(nn.Module):
    """torch's own attention of an input with itself."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return y


@pytest.mark.parametrize(("candidate", "size", "macs", "paper_flops", "parameters", "published"), PUBLISHED)
def test_the_papers_figures_are_met_to_the_last_digit(
    candidate: tuple[str, dict[str, int]], size: int, macs: int, paper_flops: int, parameters: int, published: float
) -> None:
    name, arguments = candidate
    with torch.device("meta"):
        network = build_network(name, arguments)

    assert count(network, (1, 4, size, size)) == Cost(macs, paper_flops, parameters)
    # M1 at 128 is 0.605 G: the paper rounds up.
    assert paper_flops / 1e9 == pytest.approx(published, abs=0.006)


@pytest.mark.parametrize(
    ("module", "shape", "macs", "paper_flops"),
    [
        # 6 outputs of 3x3x4 weights at 5x7 pixels, twice
        (nn.Conv2d(4, 6, 3, padding=1), (2, 4, 5, 7), 2 * 6 * 35 * 36, 2 * 6 * 35 * 36),
        (nn.Conv2d(4, 6, 3, stride=2, padding=1), (1, 4, 8, 8), 6 * 16 * 36, 6 * 16 * 36),
        (nn.Conv2d(8, 12, 3, padding=1, groups=4), (1, 8, 5, 5), 12 * 25 * 2 * 9, 12 * 25 * 2 * 9),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), (1, 8, 5, 5), 8 * 25 * 9, 8 * 25 * 9),
        # every input pixel meets 2x2 weights; the papers count every output pixel instead
        (nn.ConvTranspose2d(8, 6, 2, stride=2), (1, 8, 5, 5), 8 * 25 * 6 * 4, 6 * 100 * 8 * 4),
        (nn.ConvTranspose2d(8, 12, 2, stride=2, groups=4), (1, 8, 5, 5), 8 * 25 * 3 * 4, 12 * 100 * 2 * 4),
        (nn.Linear(8, 5), (8,), 40, 40),
        (nn.Linear(8, 5), (3, 8), 3 * 40, 3 * 40),
        (nn.Linear(8, 5, bias=False), (2, 3, 4, 8), 24 * 40, 24 * 40),
        (Lambda(lambda x: F.linear(x, x[0, 0, :2])), (2, 3, 4, 8), 24 * 2 * 8, 24 * 2 * 8),
        (Lambda(lambda x: x @ x.transpose(-1, -2)), (2, 3, 4, 8), 6 * 4 * 4 * 8, 6 * 4 * 4 * 8),
        (Lambda(lambda x: torch.einsum("bqd,bkd->bqk", x, x)), (2, 4, 8), 2 * 4 * 4 * 8, 2 * 4 * 4 * 8),
        (Lambda(lambda x: x @ x[0]), (4, 8), 4 * 8, 4 * 8),
        (Lambda(lambda x: x @ x), (8,), 8, 8),
    ],
)
def test_products_are_counted_as_by_hand(
    module: nn.Module, shape: tuple[int, ...], macs: int, paper_flops: int
) -> None:
    cost = count(module, shape)

    assert (cost.macs, cost.paper_flops) == (macs, paper_flops)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_two_products(masked: bool) -> None:
    def attend(x: Tensor) -> Tensor:
        mask = torch.zeros(5, 5, device=x.device) if masked else None
        return F.scaled_dot_product_attention(x, x, x, attn_mask=mask)

    cost = count(Lambda(attend), (2, 3, 5, 8))

    assert cost.macs == cost.paper_flops == 2 * (2 * 3 * 5 * 5 * 8)


def test_torchs_own_attention_and_transformer_layers_are_counted_inside() -> None:
    projections, attention, mlp = 4 * (2 * 5 * 8 * 8), 2 * (2 * 2 * 5 * 5 * 4), 2 * (2 * 5 * 8 * 16)
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)

    assert count(SelfAttention(8, 2), (2, 5, 8)).macs == projections + attention
    assert count(layer, (2, 5, 8)).macs == projections + attention + mlp
    assert count(layer, (2, 5, 8)).paper_flops == projections + attention + mlp + 2 * 5 * (2 * 5 * 8)


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm2d(8),
        nn.BatchNorm2d(8, affine=False, track_running_stats=False),
        nn.InstanceNorm2d(8),
        nn.InstanceNorm2d(8, affine=True, track_running_stats=True),
        nn.GroupNorm(2, 8),
        nn.LayerNorm([8, 5, 7]),
    ],
)
def test_every_norm_costs_5_paper_flops_an_element_and_no_macs(norm: nn.Module) -> None:
    cost = count(norm, (2, 8, 5, 7))

    assert (cost.macs, cost.paper_flops) == (0, 5 * 2 * 8 * 5 * 7)


@pytest.mark.parametrize(
    ("module", "paper_flops"),
    [
        (nn.AdaptiveAvgPool2d(1), 2 * 8 * 35),
        (nn.AdaptiveAvgPool2d(2), 2 * 8 * 35),
        (Lambda(lambda x: x.mean(dim=(-2, -1))), 2 * 8 * 35),
        (Lambda(lambda x: x.mean(dim=1)), 0),
        (Lambda(lambda x: x.mean()), 0),
        (nn.MaxPool2d(2), 0),
        (nn.Sequential(nn.ReLU(), nn.Softmax(dim=1), nn.Dropout(0.5)), 0),
    ],
)
def test_adaptive_pooling_costs_1_paper_flop_an_element_and_the_rest_nothing(
    module: nn.Module, paper_flops: int
) -> None:
    cost = count(module, (2, 8, 5, 7))

    assert (cost.macs, cost.paper_flops) == (0, paper_flops)


def test_monais_basic_unet_is_counted_as_by_hand() -> None:
    pytest.importorskip("monai", reason="MONAI is not installed")
    network = build_network("monai:BasicUNet", {"in_channels": 4, "out_channels": 3, "features": [4, 6, 8, 10, 12, 5]})
    # in, out, pixels of each 3x3 convolution, each with bias and an instance norm with two weights a channel
    convolutions = [(4, 4, 1024), (4, 4, 1024), (4, 6, 256), (6, 6, 256), (6, 8, 64), (8, 8, 64)]
    convolutions += [(8, 10, 16), (10, 10, 16), (10, 12, 4), (12, 12, 4)]
    convolutions += [(10 + 6, 10, 16), (10, 10, 16), (8 + 5, 8, 64), (8, 8, 64), (6 + 4, 6, 256), (6, 6, 256)]
    convolutions += [(4 + 6, 5, 1024), (5, 5, 1024)]
    # in, out, input pixels of each transposed 2x2 convolution of stride 2; all but the last halve the channels
    ups = [(12, 6, 4), (10, 5, 16), (8, 4, 64), (6, 6, 256)]
    head = 5 * 3 * 1024

    cost = count(network, (1, 4, 32, 32))

    macs = sum(i * o * 9 * pixels for i, o, pixels in convolutions) + head
    norms = sum(5 * o * pixels for _, o, pixels in convolutions)
    transposed = sum(i * o * 4 * pixels for i, o, pixels in ups)
    assert cost.macs == macs + transposed
    assert cost.paper_flops == macs + norms + 4 * transposed
    assert cost.parameters == (
        sum(i * o * 9 + 3 * o for i, o, _ in convolutions) + sum(i * o * 4 + o for i, o, _ in ups) + 5 * 3 + 3
    )


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("unet2d", {"base": 4}),
        ("transbts2d", {"layers": 2, "size": 64, "base": 4}),
        ("monai:SwinUNETR", {"in_channels": 4, "out_channels": 3, "feature_size": 12}),
        ("monai:SegResNet", {"in_channels": 4, "out_channels": 3}),
    ],
)
def test_torchs_flop_counter_agrees_on_a_real_run(name: str, arguments: dict[str, object]) -> None:
    for package in ("monai", "einops") if name.startswith("monai:") else ():
        pytest.importorskip(package, reason=f"{package} is not installed")
    network = build_network(name, arguments).eval()
    # torch's counter has no rule for the fused attention of the CPU.
    with FlopCounterMode(display=False) as torchs, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        network(torch.randn(1, 4, 64, 64))

    assert 2 * count(network, (1, 4, 64, 64)).macs == torchs.get_total_flops()


def test_counting_leaves_the_module_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.Dropout()).train()
    network[2].eval()
    before = copy.deepcopy(network.state_dict())

    count(network, (2, 4, 8, 8))

    assert [module.training for module in network] == [True, True, False]
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.device.type == "cpu" and parameter.grad is None for parameter in network.parameters())


def test_the_cost_grows_with_the_batch_and_parameters_do_not() -> None:
    network = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6))

    assert count(network, (16, 4, 8, 8)) == count(network, (1, 4, 8, 8)).times(16)


def test_costs_add_up() -> None:
    assert Cost(1, 2, 3) + Cost(10, 20, 30) == Cost(11, 22, 33)
