"""Matrix factorisation by BPR: what every model of the graph has to beat."""

from __future__ import annotations

from torch import Tensor

from graphcl.losses.standardise import check_weight
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.sampling import Triples
from graphcl.recsys.systems.system import Init, RecommendationSystem


class MFBPR(RecommendationSystem):
    """``mean_b softplus(s_un - s_up) + penalty 1/2 |E|^2 / B`` with ``s_ui = <P_u, Q_i>``: tables, and no graph.

    The same as `LightGCN` without layers. Time ``O(B D)`` a step beside the optimiser's ``O((U + I) D)``; memory that of the
    tables, their gradients and the optimiser.

    Rendle et al., 2009, https://arxiv.org/abs/1205.2618. Differs: no bias of items; Adam rather than plain descent, and the
    penalty is that of the batch, as in the comparisons of the graph literature. A start of deviation 1, which some of these
    have, would cripple it.

    Args:
        graph: Training interactions.
        dim: Width of the tables.
        penalty: Weight of ``1/2 |E|^2 / B`` over the rows of the batch.
        init: Of the tables.
        std: Of ``init="normal"``; 0.01 to 0.1 serves.
        batch_size: Triples a step.
        sampler: ``"interaction"``, ``"user-uniform"`` or ``"user-stratified"``.

    Raises:
        InputError: A value out of range.
    """

    def __init__(
        self,
        graph: Bipartite,
        *,
        dim: int = 64,
        penalty: float = 1e-4,
        init: Init = "normal",
        std: float = 0.1,
        batch_size: int = 2048,
        sampler: str = "interaction",
    ) -> None:
        super().__init__(graph, dim=dim, init=init, std=std, batch_size=batch_size, sampler=sampler)
        self.penalty = check_weight("penalty", penalty)

    def training_step(self, batch: Triples) -> dict[str, Tensor]:
        """BPR and the penalty."""
        ranking, penalty = self.ranking_loss(self.user_table, self.item_table, batch), self.table_penalty(batch)
        return {"loss": ranking + self.penalty * penalty, "bpr": ranking, "penalty": penalty}
