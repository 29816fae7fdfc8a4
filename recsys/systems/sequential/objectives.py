"""How the state of a history is scored against the item that came next."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from graphcl.errors import InputError, unknown_name
from graphcl.losses import SampledSoftmax
from graphcl.losses.views import full_precision

ObjectiveName = Literal["ce", "sampled", "gbce", "bce"]
BYTES = 4 * 2**20  # of logits or gathered rows at a time on the CPU: more leaves the cache
DEVICE_BYTES = 2**28  # the same elsewhere
FEWEST = 32  # states met at a time however many items there are, since every meeting passes over the items' gradient
LOG2_E = 1.4426950408889634


def named_objective(
    name: ObjectiveName,
    counts: Tensor,
    *,
    num_negatives: int = 256,
    popularity_power: float = 0.0,
    calibration: float = 0.75,
) -> nn.Module:
    """The loss of a name, called as ``loss(states, items, target)``.

    ``"ce"`` is `CatalogueCrossEntropy`; ``"sampled"`` a `SampledSoftmax`, whose draws have the logarithm of their probability
    taken off; ``"gbce"`` is `GeneralisedBCE`; ``"bce"`` the original loss of SASRec, twice `GeneralisedBCE` of one negative
    without calibration: ``-log sigma(s+) - log(1 - sigma(s-))``.

    Args:
        name: One of `ObjectiveName`.
        counts: Training events of each item.
        num_negatives: Draws of ``"sampled"``, shared by a batch, and of ``"gbce"``, for each state.
        popularity_power: Draws of ``"sampled"`` follow the counts to this power; 0 is uniform.
        calibration: ``t`` of ``"gbce"``.

    Shapes:
        counts: ``(I,)``.

    Raises:
        InputError: An unknown name, or a value out of range.
    """
    if name not in get_args(ObjectiveName):
        raise unknown_name("objective", name, get_args(ObjectiveName))
    if popularity_power < 0:
        raise InputError(f"popularity_power must be 0 (uniform) or more; got {popularity_power}")
    if name == "ce":
        return CatalogueCrossEntropy()
    if name == "sampled":
        proposal = None if popularity_power == 0 else counts.double().pow(popularity_power)
        return SampledSoftmax(num_negatives, proposal)
    if name == "gbce":
        return GeneralisedBCE(num_negatives, calibration)
    return GeneralisedBCE(1, 0.0, scale=2.0)


class CatalogueCrossEntropy(nn.Module):
    """Cross-entropy of the target among all items: ``mean_p -<h_p, w_t> + log sum_i exp <h_p, w_i>``.

    What `torch.nn.functional.cross_entropy` makes of the logits ``H W'``, and faster: value and both gradients come from one
    visit of each block of logits, while it is in the cache, because the weight of every state in a mean is known beforehand.
    Three products in all, as for logits that are kept, and an exponential to base 2. `graphcl.losses.FullSoftmax` has the same
    value with temperatures, biases, estimators and items left out, and a fourth product. Time ``O(P I D)``; memory
    ``O((P + I) D)`` and a block of ``max(4 MB, 32 I)`` logits.

    Shapes:
        states: ``(P, D)``; items: ``(I, D)``; target: ``(P,)`` in ``0 .. I - 1``; returns: scalar.

    Raises:
        InputError: Shapes that do not fit, no state, or a target that is no item.
    """

    def forward(self, states: Tensor, items: Tensor, target: Tensor) -> Tensor:
        """The mean over states."""
        states, items = _checked(states, items, target)
        wanted = torch.is_grad_enabled() and (states.requires_grad or items.requires_grad)
        with full_precision(states):
            loss: Tensor = _CrossEntropy.apply(states, items, target, wanted)  # type: ignore[no-untyped-call]
        return loss


class GeneralisedBCE(nn.Module):
    """Binary cross-entropy of the target and ``k`` uniform draws for each state, calibrated.

    ``-(beta log sigma(s+) + sum_k log(1 - sigma(s-))) / (k + 1)``, the mean over states, with ``alpha = k / (I - 1)`` and
    ``beta = alpha (t (1 - 1 / alpha) + 1 / alpha)``: 1 at ``t = 0``, where few negatives make the model too sure of itself, and
    ``alpha`` at ``t = 1``. Time ``O(P k D)``; memory ``O((P + I) D + P k)`` and 4 MB of gathered rows.

    Petrov and Macdonald, 2023, https://arxiv.org/abs/2308.07192. Differs: the power ``beta`` of the sigmoid is a factor of its
    logarithm, where the official code transforms logits in double precision, to the same value; a draw is never the target, and
    may be in the history.

    Args:
        num_negatives: Draws ``k``, ``>= 1``; they repeat.
        calibration: ``t`` in ``[0, 1]``.
        scale: Multiplies the loss.

    Shapes:
        states: ``(P, D)``; items: ``(I, D)``; target: ``(P,)``; returns: scalar.

    Raises:
        InputError: A value out of range, more draws than there are other items, or what `CatalogueCrossEntropy` refuses.
    """

    def __init__(self, num_negatives: int = 256, calibration: float = 0.75, *, scale: float = 1.0) -> None:
        super().__init__()
        if num_negatives < 1:
            raise InputError(f"num_negatives must be 1 or more; got {num_negatives}")
        if not 0 <= calibration <= 1:
            raise InputError(f"calibration must be in [0, 1]; got {calibration}")
        self.num_negatives, self.calibration, self.scale = num_negatives, calibration, scale

    def beta(self, num_items: int) -> float:
        """Weight of the target in a catalogue of this size."""
        alpha = self.num_negatives / (num_items - 1)
        if alpha > 1:
            raise InputError(
                f"num_negatives must be at most the {num_items - 1} items beside the target; got {self.num_negatives}"
            )
        return alpha * (self.calibration * (1 - 1 / alpha) + 1 / alpha)

    def forward(self, states: Tensor, items: Tensor, target: Tensor) -> Tensor:
        """The mean over states, with draws from torch's own generator."""
        states, items = _checked(states, items, target)
        beta = self.beta(len(items))
        drawn = torch.randint(len(items) - 1, (len(states), self.num_negatives), device=states.device)
        return self.of_draws(states, items, target, drawn + (drawn >= target[:, None]), beta)

    def of_draws(self, states: Tensor, items: Tensor, target: Tensor, drawn: Tensor, beta: float) -> Tensor:
        """The loss of given draws.

        Shapes:
            drawn: ``(P, k)``; the rest as the class; returns: scalar.
        """
        share = self.scale / ((drawn.shape[1] + 1) * len(states))
        with full_precision(states):
            positive = (states * items.index_select(0, target)).sum(1)
            negatives: Tensor = _DrawnSoftplus.apply(states, items, drawn)  # type: ignore[no-untyped-call]
            return share * (negatives - beta * F.logsigmoid(positive).sum())


class _CrossEntropy(torch.autograd.Function):
    """Forward finds both gradients beside the value; backward only multiplies them."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, items: Tensor, target: Tensor, wanted: bool) -> Tensor:
        number = len(states)
        rows = min(number, max(FEWEST, _bytes(states) // (len(items) * states.element_size())))
        space = states.new_empty(rows, len(items))
        sums = states.new_empty(number)
        d_states, d_items = (torch.empty_like(states), torch.zeros_like(items)) if wanted else (None, None)
        for first in range(0, number, rows):
            part = slice(first, min(first + rows, number))
            own = states[part]
            logits = torch.mm(own * LOG2_E, items.T, out=space[: len(own)])  # to base 2, whose exponential is the cheaper one
            top = logits.amax(1, keepdim=True)
            logits.sub_(top).exp2_()
            total = logits.sum(1, keepdim=True)
            sums[part] = (total.log2() + top).squeeze(1)
            if d_states is not None and d_items is not None:
                share = 1 / (number * total)
                torch.mm(logits, items, out=d_states[part]).mul_(share)
                d_items.addmm_(logits.T, own * share)
        positives = items.index_select(0, target)
        if d_states is not None and d_items is not None:
            d_states.sub_(positives, alpha=1 / number)
            d_items.index_add_(0, target, states, alpha=-1 / number)
            ctx.save_for_backward(d_states, d_items)
        return (sums / LOG2_E - (states * positives).sum(1)).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        d_states, d_items = ctx.saved_tensors
        return grad * d_states, grad * d_items, None, None


class _DrawnSoftplus(torch.autograd.Function):
    """``sum_pk softplus <h_p, w_k>`` over draws of each state, whose rows are gathered some at a time and not kept."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, items: Tensor, drawn: Tensor) -> Tensor:
        number, k = drawn.shape
        size = max(1, _bytes(states) // (k * states.shape[1] * states.element_size()))
        d_states, d_items = torch.empty_like(states), torch.zeros_like(items)
        value = states.new_zeros(())
        for first in range(0, number, size):
            part = slice(first, min(first + size, number))
            own, index = states[part].unsqueeze(1), drawn[part].reshape(-1)
            rows = items.index_select(0, index).view(-1, k, states.shape[1])
            logits = torch.bmm(own, rows.mT)
            value += F.softplus(logits).sum()
            slopes = logits.sigmoid_()
            d_states[part] = torch.bmm(slopes, rows).squeeze(1)
            d_items.index_add_(0, index, torch.mul(slopes.mT, own, out=rows).view(-1, states.shape[1]))
        ctx.save_for_backward(d_states, d_items)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        d_states, d_items = ctx.saved_tensors
        return grad * d_states, grad * d_items, None


def _bytes(rows: Tensor) -> int:
    return BYTES if rows.device.type == "cpu" else DEVICE_BYTES


def _checked(states: Tensor, items: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both sides in one type, single precision or better."""
    if states.ndim != 2 or items.ndim != 2 or states.shape[1] != items.shape[1]:
        raise InputError(f"states (P, D) and items (I, D) must share D; got {tuple(states.shape)} and {tuple(items.shape)}")
    if len(states) == 0 or len(items) < 2:
        raise InputError(f"there must be a state and at least 2 items, one to choose; got {len(states)} and {len(items)}")
    if target.shape != (len(states),) or target.dtype != torch.int64:
        raise InputError(
            f"target must be ({len(states)},) int64, the item after each state; got {tuple(target.shape)} {target.dtype}"
        )
    if not target.is_cuda and (int(target.min()) < 0 or int(target.max()) >= len(items)):
        raise InputError(
            f"target must lie in 0 .. {len(items) - 1}; got {int(target.min())} to {int(target.max())}. "
            "Are these ids that start at 1, or is padding among them?"
        )
    dtype = torch.promote_types(torch.promote_types(states.dtype, items.dtype), torch.float32)
    return states.to(dtype), items.to(dtype)
