"""What divides the similarity: a number, or a parameter that is learned with the rest."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from graphcl.errors import InputError

MIN_TEMPERATURE = 1e-4  # below it fp32 logits lose the digits that tell two candidates apart


class LearnableTemperature(nn.Module):
    """A temperature that is trained: its inverse is the exponential of a parameter, kept within bounds.

    Given to a loss as its ``temperature``, it is among the loss's parameters: hand these to the optimiser. Radford et al., 2021
    (CLIP), https://arxiv.org/abs/2103.00020. Differs in that the bounds are those of the temperature.

    Args:
        initial: Where it starts.
        lowest: Never below.
        highest: Never above.

    Raises:
        InputError: Not ``1e-4 <= lowest <= initial <= highest``.
    """

    def __init__(self, initial: float = 0.07, *, lowest: float = 0.01, highest: float = 1.0) -> None:
        super().__init__()
        check_temperature(lowest)
        if not (lowest <= initial <= highest and math.isfinite(highest)):
            raise InputError(f"temperature must start between lowest and highest; got {lowest} <= {initial} <= {highest}")
        self.lowest, self.highest = lowest, highest
        self.log_scale = nn.Parameter(torch.tensor(-math.log(initial)))

    def forward(self) -> Tensor:
        """One over the temperature, what multiplies a similarity.

        Shapes:
            returns: scalar.
        """
        with torch.no_grad():  # the parameter itself is bounded: a bound on its value would leave it stuck outside
            self.log_scale.clamp_(-math.log(self.highest), -math.log(self.lowest))
        return self.log_scale.exp()

    def extra_repr(self) -> str:
        """The temperature now, for ``print``."""
        return f"{math.exp(-float(self.log_scale.detach())):.4g}, lowest={self.lowest:g}, highest={self.highest:g}"


Temperature = float | LearnableTemperature


def check_temperature(temperature: float) -> float:
    """The temperature itself, or an `InputError` that says what is wrong with it."""
    if not math.isfinite(temperature) or temperature <= 0:
        raise InputError(f"temperature must be > 0, since it divides the similarity; got {temperature}")
    if temperature < MIN_TEMPERATURE:
        raise InputError(f"temperature must be at least {MIN_TEMPERATURE}; got {temperature}")
    return temperature
