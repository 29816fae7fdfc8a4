"""Two views contrasted with the whole data set, and a temperature for each instance."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.losses.anchors import anchor_mean, check_ids
from graphcl.losses.temperature import check_temperature
from graphcl.losses.views import computing_views, full_precision, unit_rows
from graphcl.negatives import LogAverage, check_negatives, follow
from graphcl.negatives.count import log_count


class ISogCLR(nn.Module):
    """``mean_i t_i (log E_j exp((s_ij - s_i+) / t_i) + radius)`` with the expectation over all negatives of the data set.

    The mean of ``exp(s_ij / t_i)`` over the negatives of a batch, those of both views, is followed by a moving average ``u_i``
    over the steps: the value is computed from it, and the gradient is ``sum_j e^(l_ij) / (N_i u_i) ds_ij - ds_i+``, which is
    not that of the value. Each instance has its own temperature, which moves by its own rule and not by the optimiser:
    ``v_i <- (1 - beta) v_i + beta clip(dF_i / dt_i)``, ``t_i <- t_i - rate v_i`` within bounds. It comes to rest where the
    divergence of the weights of the negatives from uniform is ``radius``: instances with many similar neighbours get
    a high one. Both directions share ``u_i``, ``t_i`` and ``v_i``, and are averaged. Only training moves them. ``rate=0`` is
    SogCLR. One sweep forward and two back for each direction, one back without ``rate``; time ``O(N N D)``, memory
    ``O(N D)``; state of 13 bytes an instance.

    Qiu et al., 2023 (iSogCLR), https://arxiv.org/abs/2305.11965; Yuan et al., 2022 (SogCLR), https://arxiv.org/abs/2202.12387.
    Differs from the official code: sums are kept as logarithms, and instances drawn twice are averaged.

    Args:
        num_instances: Instances of the data set, ``0 .. num_instances - 1``.
        temperature: Where all start.
        bounds: Lowest and highest temperature.
        radius: Divergence from uniform weights, ``>= 0``.
        gamma: Share of the batch in ``u_i``, in ``(0, 1]``.
        rate: Step of the temperatures, ``>= 0``.
        beta: Share of the new slope in ``v_i``, in ``(0, 1]``.
        clip: Largest slope, ``> 0``.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` of both is one instance; ids: ``(N,)`` integers; weight: ``(N,)``; returns: scalar.

    Raises:
        InputError: Arguments out of range; shapes that differ, fewer than two rows, values that are not finite; unknown ids.
    """

    temperatures: Tensor
    velocities: Tensor

    def __init__(
        self,
        num_instances: int,
        *,
        temperature: float = 0.1,
        bounds: tuple[float, float] = (0.05, 0.7),
        radius: float = 0.3,
        gamma: float = 0.9,
        rate: float = 0.01,
        beta: float = 0.9,
        clip: float = 3.0,
    ) -> None:
        super().__init__()
        lowest, highest = check_temperature(bounds[0]), check_temperature(bounds[1])
        if not lowest <= temperature <= highest:
            raise InputError(f"temperature must start within its bounds, {lowest} to {highest}; got {temperature}")
        for name, value, good, said in (
            ("radius", radius, radius >= 0, ">= 0"),
            ("rate", rate, rate >= 0, ">= 0, 0 keeps the temperatures"),
            ("beta", beta, 0 < beta <= 1, "in (0, 1]"),
            ("clip", clip, clip > 0, "> 0"),
        ):
            if not (good and math.isfinite(value)):
                raise InputError(f"{name} must be {said}; got {value}")
        self.bounds, self.radius, self.rate, self.beta, self.clip = (lowest, highest), radius, rate, beta, clip
        self.average = LogAverage(num_instances, gamma)
        self.register_buffer("temperatures", torch.full((num_instances,), float(temperature)))
        self.register_buffer("velocities", torch.zeros(num_instances))

    def forward(self, z1: Tensor, z2: Tensor, *, ids: Tensor, weight: Tensor | None = None) -> Tensor:
        """The loss of two views: an estimate of the objective over the data set, whose gradient is the surrogate's.

        Args:
            z1: First view.
            z2: Second view.
            ids: Instances of the rows.
            weight: Of the anchors in a weighted mean, ``>= 0``; all equal when ``None``.
        """
        z1, z2 = computing_views(z1, z2)
        check_ids("ids", ids, len(z1))
        self.average.check(ids)
        with full_precision(z1):
            u1, u2 = unit_rows(z1), unit_rows(z2)
            temperature = self.temperatures.index_select(0, ids).to(u1.dtype)
            scale = (1 / temperature).requires_grad_(self.training and self.rate > 0)
            terms, log_us, slopes = [], [], []
            for own, other in ((u1, u2), (u2, u1)):
                log_z, count = self._negatives(own, other, ids, scale)
                log_u = self.average.blend(ids, log_z.detach() - count)
                terms.append(temperature * (follow(log_z, log_u + count) - count + self.radius))
                log_us.append(log_u)
                if scale.requires_grad:
                    slopes.append(self._slope(log_z, log_u, count, scale))
            if self.training:
                self.average.store(torch.cat([ids, ids]), torch.cat(log_us))
            if slopes:
                self._move(ids, (slopes[0] + slopes[1]) / 2)
            return anchor_mean((terms[0] + terms[1]) / 2 - (u1 * u2).sum(1), weight)

    def extra_repr(self) -> str:
        """What moves the temperatures, for ``print``."""
        return f"bounds={self.bounds}, radius={self.radius:g}, rate={self.rate:g}, beta={self.beta:g}, clip={self.clip:g}"

    @staticmethod
    def _negatives(own: Tensor, other: Tensor, ids: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Log-partition of the batch, and log of the number of negatives in it."""
        candidates = torch.cat([other, own])
        rule = Rule(different=(ids, torch.cat([ids, ids])))
        with torch.set_grad_enabled(scale.requires_grad or torch.is_grad_enabled()):  # temperatures move without a gradient too
            log_z = check_negatives(pair_lse(own, Columns(candidates), scale=scale, rule=rule))
        return log_z, log_count(own, candidates, rule).to(log_z)

    def _slope(self, log_z: Tensor, log_u: Tensor, count: Tensor, scale: Tensor) -> Tensor:
        """``log u_i + radius - sum_j e^(l_ij) l_ij / (N_i u_i)``, how the objective changes with the temperature."""
        (mean,) = torch.autograd.grad(
            log_z, scale, torch.ones_like(log_z), retain_graph=True
        )  # of s_ij, weighted by the softmax
        share = (log_z.detach() - count - log_u).exp()
        return log_u + self.radius - share * mean * scale.detach()

    @torch.no_grad()
    def _move(self, ids: Tensor, slopes: Tensor) -> None:
        names, place = torch.unique(ids, return_inverse=True)
        total = slopes.new_zeros(len(names)).index_add(0, place, slopes)
        slope = (total / torch.bincount(place, minlength=len(names))).clamp(-self.clip, self.clip).to(self.velocities.dtype)
        self.velocities[names] = (1 - self.beta) * self.velocities[names] + self.beta * slope
        self.temperatures[names] = (self.temperatures[names] - self.rate * self.velocities[names]).clamp(*self.bounds)
