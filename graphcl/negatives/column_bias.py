"""Some candidates weigh more than others, whoever asks."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels import Rule
from graphcl.negatives.exact import Exact
from graphcl.negatives.positive import positive_positions
from graphcl.negatives.protocol import Negatives


class ColumnBias:
    """A number for each candidate, added to all its logits, under any other estimator.

    ``log sum_j exp(l_ij + b_j)``, and with ``correct_positive`` minus ``b`` of the anchor's positive: a link that compares it
    with the positive's bare logit then compares biased with biased. Three uses: popularity ``b = -log q_j`` in batches that
    hold items by their frequency (Yi et al., 2019, https://doi.org/10.1145/3298689.3346996); importance ``b = log w_j``; and,
    with ``tempered``, the team-up of communities, ``b_j = gamma * strength_j`` added to the similarity (CSGCL: Chen et al.,
    2023, https://arxiv.org/abs/2305.04658). Differs from CSGCL, which adds the strengths of both sides: the anchor's stands
    in numerator and denominator and cancels.

    As exact, biased or unbiased as the estimator inside, which sees one more coordinate: the cost is that of ``D + 1``.

    Args:
        bias: Of each candidate, a constant or a parameter; gradients reach it.
        negatives: Estimator inside; exact when ``None``.
        tempered: Whether the bias is divided by the temperature, as the similarity is.
        correct_positive: Whether the positive is biased as well; it is the candidate that ``rule.exclude`` names. ``False``
            where that is the anchor itself and its positives are others, as with a graph of positives.

    Shapes:
        bias: ``(M,)``.

    Raises:
        InputError: A bias that is not finite or of another number of candidates; a positive that the rule does not name.
    """

    def __init__(
        self, bias: Tensor, negatives: Negatives | None = None, *, tempered: bool = False, correct_positive: bool = True
    ) -> None:
        if bias.ndim != 1 or not bool(torch.isfinite(bias).all()):
            raise InputError(
                f"bias must be a vector of finite numbers, one for each candidate; got shape {tuple(bias.shape)}. "
                "To take a candidate out, leave it out by the rule, or use a large negative number."
            )
        self.bias = bias
        self.negatives: Negatives = negatives if negatives is not None else Exact()
        self.tempered = tempered
        self.correct_positive = correct_positive

    @property
    def reads_positive(self) -> bool:
        """Whether the rule must name the positive of each anchor."""
        return self.correct_positive or bool(getattr(self.negatives, "reads_positive", False))

    @property
    def reads_ids(self) -> bool:
        """Whether the estimator inside remembers instances by their ids."""
        return bool(getattr(self.negatives, "reads_ids", False))

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Log-partition with the bias.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``.
        """
        if len(self.bias) != len(candidates):
            raise InputError(
                f"the bias speaks of {len(self.bias)} candidates but there are {len(candidates)}: "
                "was it made for another batch?"
            )
        bias = self.bias.to(candidates)
        factor = torch.as_tensor(scale, dtype=anchors.dtype, device=anchors.device).expand(len(anchors))
        # scale * (<a, z> + c b) is the biased logit where c is one over the scale, and where it is 1 b is tempered.
        share = torch.ones_like(factor) if self.tempered else 1 / factor
        wide = torch.cat([anchors, share[:, None]], 1), torch.cat([candidates, bias[:, None]], 1)
        log_z = self.negatives.log_z(*wide, scale=scale, rule=rule)
        if not self.correct_positive:
            return log_z
        positive = bias.index_select(0, positive_positions(rule, len(bias), "use correct_positive=False"))
        return log_z - (positive * factor if self.tempered else positive)

    def __repr__(self) -> str:
        return f"ColumnBias({self.negatives!r})"
