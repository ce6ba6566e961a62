"""Networks by name, and what happens when a bundle asks for something else."""

import json
import subprocess
import sys
from collections.abc import Mapping

import pytest
import torch

from DynamicSegLib.bank import Candidate
from DynamicSegLib.errors import BundleError
from DynamicSegLib.networks import registry
from DynamicSegLib.networks.padding import PaddedNetwork, divisor_of
from DynamicSegLib.networks.registry import build_network, network_names
from DynamicSegLib.networks.unet import UNet2D

CHANNELS = {"in_channels": 4, "out_channels": 3}
SEGMENTATION: dict[str, tuple[dict[str, object], int]] = {
    "unet2d": ({**CHANNELS, "base": 2}, 8),
    "transbts2d": ({**CHANNELS, "base": 2, "layers": 1, "size": 32}, 8),
    "slimmable-unet2d": ({**CHANNELS, "base": 8, "width": 0.5}, 8),
    "monai:AttentionUnet": ({**CHANNELS, "channels": [4, 8, 16], "strides": [2, 2]}, 4),
    "monai:BasicUNet": ({**CHANNELS, "features": [4, 4, 8, 8, 16, 4]}, 16),
    "monai:DynUNet": (
        {
            **CHANNELS,
            "kernel_size": [3, 3, 3],
            "strides": [1, [2, 1], [3, 2]],
            "upsample_kernel_size": [[2, 1], [3, 2]],
            "filters": [4, 8, 16],
        },
        6,
    ),
    "monai:FlexibleUNet": ({**CHANNELS, "backbone": "resnet10", "decoder_channels": [16, 8, 8, 4, 4]}, 32),
    "monai:SegResNet": ({**CHANNELS, "init_filters": 8, "blocks_down": [1, 1, 1], "blocks_up": [1, 1]}, 4),
    "monai:SwinUNETR": ({**CHANNELS, "feature_size": 12}, 32),
    "monai:UNet": ({**CHANNELS, "channels": [4, 8, 16, 32], "strides": [2, 2, 2], "act": ["RELU", {}]}, 8),
}
CLASSIFICATION = set(network_names()) - set(SEGMENTATION)


def build(name: str, arguments: Mapping[str, object]) -> torch.nn.Module:
    if name.startswith(registry.MONAI_PREFIX):
        pytest.importorskip("monai", reason="MONAI is not installed")
    if name == "monai:SwinUNETR":
        pytest.importorskip("einops", reason="einops, which MONAI's SwinUNETR needs, is not installed")
    return build_network(name, arguments)


@pytest.mark.parametrize("name", SEGMENTATION)
def test_every_segmentation_network_takes_any_size_with_arguments_from_json(name: str) -> None:
    arguments, divisor = SEGMENTATION[name]

    network = build(name, json.loads(json.dumps(arguments))).eval()

    assert divisor_of(network) == divisor
    with torch.no_grad():
        assert PaddedNetwork(network).eval()(torch.randn(1, 4, 45, 70)).shape == (1, 3, 45, 70)


@pytest.mark.parametrize("name", sorted(CLASSIFICATION))
def test_decision_networks_are_built_by_name_and_take_any_size_unpadded(name: str) -> None:
    network = build_network(name, {"in_channels": 2}).eval()

    assert divisor_of(network) == 1
    network(torch.randn(1, 2, 45, 70))


def test_a_built_network_is_the_plain_class_so_that_foreign_weights_fit() -> None:
    network = build_network("unet2d", {"base": 3})

    assert network.state_dict().keys() == UNet2D(base=3).state_dict().keys()


def test_an_unknown_name_is_answered_with_the_allowed_ones() -> None:
    with pytest.raises(BundleError, match=r"'resnet50'.*unet2d.*monai:SwinUNETR"):
        build_network("resnet50", {})


def test_a_monai_network_outside_the_allow_list_is_refused() -> None:
    with pytest.raises(BundleError, match="Unknown network 'monai:VNet'"):
        build_network("monai:VNet", {})


def test_an_unknown_argument_is_named_with_those_that_exist() -> None:
    with pytest.raises(BundleError, match=r"unet2d has no argument width; it takes in_channels, out_channels, base"):
        build_network("unet2d", {"width": 16})


def test_a_value_that_does_not_fit_is_shown_with_its_cause() -> None:
    with pytest.raises(BundleError, match=r"unet2d cannot be built with base='twelve'") as caught:
        build_network("unet2d", {"base": "twelve"})

    assert isinstance(caught.value.__cause__, TypeError)


def test_an_unknown_backbone_is_named_with_those_that_exist() -> None:
    with pytest.raises(BundleError, match=r"backbone='resnet'.*expected one of .*shufflenetv2-m"):
        build_network("decision", {"backbone": "resnet"})


def test_an_argument_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(BundleError, match="argument base is a type"):
        build_network("unet2d", {"base": int})


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("monai:UNet", CHANNELS, "misses channels, strides"),
        ("monai:BasicUNet", {**CHANNELS, "spatial_dims": 3}, "spatial_dims 3: only 2 is allowed"),
        ("monai:FlexibleUNet", {**CHANNELS, "backbone": "resnet10", "pretrained": True}, "pretrained True"),
        ("monai:DynUNet", {**CHANNELS, "deep_supervision": True}, "only False is allowed"),
        ("monai:BasicUNet", {**CHANNELS, "features": [4, 4]}, "monai:BasicUNet cannot be built"),
        ("monai:UNet", {**CHANNELS, "channels": [4, 8], "strides": ["two"]}, "monai:UNet cannot be built"),
    ],
)
def test_monai_arguments_that_do_not_fit_are_refused(name: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        build(name, arguments)


def test_two_dimensions_may_be_said_but_need_not() -> None:
    arguments, _ = SEGMENTATION["monai:BasicUNet"]

    assert build("monai:BasicUNet", {**arguments, "spatial_dims": 2}).state_dict().keys() == (
        build("monai:BasicUNet", arguments).state_dict().keys()
    )


@pytest.mark.parametrize(("name", "absent"), [("monai:UNet", "monai"), ("monai:SwinUNETR", "einops")])
def test_an_absent_package_is_named_with_the_extra_to_install(
    name: str, absent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda package: None if package == absent else object())

    with pytest.raises(BundleError, match=rf"needs the package {absent}.*pip install 'DynamicSeg\[monai\]'"):
        build_network(name, CHANNELS)


def test_arguments_that_hold_an_object_can_be_counted() -> None:
    pytest.importorskip("monai", reason="MONAI is not installed")
    plain, leaky = (
        Candidate("B", "monai:BasicUNet", {"in_channels": 4, "out_channels": 4, "features": [8] * 6, "act": act})
        for act in ("RELU", ["LeakyReLU", {"negative_slope": 0.1}])
    )
    assert leaky.cost((32, 32), 4) == plain.cost((32, 32), 4)
    assert leaky.cost((32, 32), 4).macs > 0


def test_our_own_networks_do_without_monai() -> None:
    code = (
        "import sys; from DynamicSegLib.networks.registry import build_network; "
        "build_network('unet2d', {'base': 2}); sys.exit('monai' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
