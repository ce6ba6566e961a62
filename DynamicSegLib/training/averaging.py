"""A running average of a network's weights: steadier than the last step's, at no cost when the bundle is used."""

import torch
from torch import Tensor, nn


class RunningAverage:
    """Exponential average of all floating-point parameters and buffers of `network`.

    The first updates follow the network closely (the decay grows from 0.1 to `decay`), so that random initial weights
    are forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the network's present weights in."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        averaged: list[Tensor] = []
        present: list[Tensor] = []
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                averaged.append(self.state[name])
                present.append(value)
            else:
                self.state[name].copy_(value)
        torch._foreach_lerp_(averaged, present, 1 - decay)
