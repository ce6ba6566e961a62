"""Channels of a UNet in order of importance."""

import torch

from DynamicSegLib.networks.channel_order import channels_in_order
from DynamicSegLib.networks.slimmable import Configuration
from DynamicSegLib.networks.slimmable_network import shared_from_plain
from DynamicSegLib.networks.slimmable_unet import slimmable_unet2d
from DynamicSegLib.networks.unet import UNet2D


def _trained() -> UNet2D:
    """A network whose norms have seen something, so that a channel that changed places without its norm shows."""
    torch.manual_seed(0)
    network = UNet2D(2, 3, 4, dropout=0.0).train()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        network(torch.randn(2, 2, 32, 32))
    return network.eval()


def _built(state: dict[str, torch.Tensor]) -> UNet2D:
    network = UNet2D(2, 3, 4, dropout=0.0)
    network.load_state_dict(state)
    return network.eval()


def test_the_network_computes_the_same() -> None:
    network = _trained()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    state = channels_in_order(network.state_dict())

    x = torch.randn(1, 2, 32, 24)
    with torch.no_grad():
        expected, found = network(x), _built(state)(x)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    changed = [name for name, tensor in state.items() if not torch.equal(tensor, before[name])]
    assert {"encoder.stem.weight", "decoder.head.weight", "decoder.ups.0.up.weight"} <= set(changed)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items()), "left alone"


def test_a_channel_that_does_nothing_comes_last() -> None:
    network = _trained()
    with torch.no_grad():
        network.encoder.stages[1][0].conv2.weight[:, 0] = 0
        network.decoder.ups[2].up.weight[:, 1] = 0
        network.decoder.ups[2].up.bias[1] = 0
    unread = network.encoder.stages[1][0].conv1.weight[0].clone()
    empty = network.decoder.ups[2].fuse.weight[:, 4 + 1].clone()

    sorted_ = _built(channels_in_order(network.state_dict()))

    last = sorted_.encoder.stages[1][0].conv1.weight[-1]
    assert torch.allclose(last.abs().sum(), unread.abs().sum())
    assert torch.allclose(sorted_.decoder.ups[2].fuse.weight[:, -1].abs().sum(), empty.abs().sum())


def test_sorting_again_changes_nothing() -> None:
    once = channels_in_order(_trained().state_dict())
    twice = channels_in_order(once)
    assert all(torch.equal(twice[name], tensor) for name, tensor in once.items())


def test_a_narrow_width_keeps_more_of_the_network() -> None:
    """Half of the inner channels do nothing: sorted, nearly all of what the network does is left at 0.75 width."""
    network = _trained()
    with torch.no_grad():
        for block in (*(b for stage in network.encoder.stages for b in stage), *network.decoder.blocks):
            block.conv2.weight[:, ::2] = 0
    x = torch.randn(1, 2, 32, 32)

    def change(state: dict[str, torch.Tensor]) -> float:
        slimmable = slimmable_unet2d(2, 3, 4, 0.0)
        slimmable.load_shared(shared_from_plain(state))
        slimmable.train()
        with torch.no_grad():
            full, narrow = slimmable(x, Configuration()), slimmable(x, Configuration(0.75))
        return float((full - narrow).square().mean())

    assert change(channels_in_order(network.state_dict())) < change(network.state_dict())
