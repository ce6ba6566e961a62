"""TransBTS in two dimensions, M3 and M4."""

import pytest
import torch

from DynamicSegLib.networks.transbts import Attention, TransBTS2D


def small(size: int = 32) -> TransBTS2D:
    return TransBTS2D(layers=1, size=size, base=2)


@pytest.mark.parametrize("size", [(32, 32), (16, 40), (56, 24)])
def test_every_size_divisible_by_8_keeps_its_size(size: tuple[int, int]) -> None:
    assert small().eval()(torch.randn(2, 4, *size)).shape == (2, 4, *size)


def test_the_position_table_is_used_as_it_is_at_its_own_size() -> None:
    network = small()

    assert network._position_for(4, 4) is network.position


def test_the_position_table_interpolates_along_rows_and_columns_separately() -> None:
    network = small()
    row = torch.arange(4.0).repeat_interleave(4)
    with torch.no_grad():
        network.position.copy_(row[None, :, None].expand_as(network.position))

    table = network._position_for(8, 6).detach()[0, :, 0].reshape(8, 6)

    # The table varies by row only, and so must its interpolation.
    torch.testing.assert_close(table, table[:, :1].expand(8, 6))
    assert (table[:, 0].diff() > 0).all()
    torch.testing.assert_close(table[:, 0].mean(), torch.tensor(1.5))


def test_a_constant_position_table_is_constant_at_every_size() -> None:
    trained, target = small(size=32).eval(), small(size=48).eval()
    with torch.no_grad():
        trained.position.fill_(0.3)
        target.load_state_dict({**trained.state_dict(), "position": torch.full_like(target.position, 0.3)})
        x = torch.randn(1, 4, 48, 48)

        torch.testing.assert_close(trained(x), target(x))


def test_attention_matches_the_formula() -> None:
    attention = Attention(dim=6, heads=2, dropout=0.0).eval()
    x = torch.randn(1, 5, 6)

    q, k, v = (attention.qkv(x)[0].reshape(5, 3, 2, 3)[:, i].transpose(0, 1) for i in range(3))
    heads = torch.softmax(q @ k.transpose(1, 2) / 3**0.5, dim=-1) @ v

    torch.testing.assert_close(attention(x)[0], attention.project(heads.transpose(0, 1).reshape(5, 6)))


def test_evaluation_is_deterministic_and_training_is_not() -> None:
    network, x = small(), torch.randn(2, 4, 32, 32)

    network.eval()
    assert torch.equal(network(x), network(x))
    network.train()
    assert not torch.equal(network(x), network(x))


def test_gradients_reach_all_parameters() -> None:
    network = small()

    network(torch.randn(2, 4, 32, 32)).square().sum().backward()

    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_gradients_reach_the_position_table_at_another_size() -> None:
    network = small()

    network(torch.randn(1, 4, 48, 16)).square().sum().backward()

    assert network.position.grad is not None
    assert (network.position.grad != 0).any()
