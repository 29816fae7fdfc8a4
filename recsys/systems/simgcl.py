"""SimGCL: two runs through the same graph, shaken by a little noise, should agree on everybody."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.negatives import NegativesName
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.sampling import Triples
from graphcl.recsys.systems.contrast import Candidates
from graphcl.recsys.systems.noise import NoisyGCN, noisy_layers
from graphcl.recsys.systems.system import Init, Layers, mean_of


class SimGCL(NoisyGCN):
    """BPR by a graph without noise, and InfoNCE of two views with noise, over the users and the positive items of a batch.

    ``Z = 1 / L sum_{l = 1}^L A^l E`` is ranked. In a view each layer is ``A E' + eps sign(A E') n / |n|`` with ``n`` uniform in
    the unit cube, drawn for each row, layer, view and step, and passed on with its noise. The loss is
    ``BPR(Z) + penalty 1/2 |E|^2 / B + contrast (InfoNCE(users) + InfoNCE(items))``, each the mean over the distinct rows of the
    batch, which are each other's negatives. With ``contrast=0`` no view is made.

    Time ``O(4 L E D)`` a step, where a graph without views takes ``2 L E D``: noise has no gradient, so the three
    forward runs share one backward run, exactly. Contrast ``O(B B D)``; memory ``O((U + I) D)``.

    Yu et al., 2022, https://arxiv.org/abs/2112.08679. Differs from the official code (SELFRec): BPR has no small constant in
    its logarithm; the penalty is on squared rows of the tables, there on lengths of propagated ones; no epoch is chosen by
    the test part. RecBole's code sums the contrast, so that its weights are smaller by the number of distinct rows.

    Args:
        graph: Training interactions.
        dim: Width of the tables.
        layers: Hops ``L``, ``>= 1``.
        penalty: Weight of ``1/2 |E|^2 / B`` over the rows of the batch.
        contrast: Weight of the contrast.
        eps: Length of the noise.
        temperature: Divides the similarity.
        loss: One of `graphcl.losses.TWO_VIEWS`.
        negatives: One of `graphcl.negatives.NegativesName`.
        candidates: Against the rows of the ``"batch"``, or ``"all"``.
        init: Of the tables.
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
        layers: int = 3,
        penalty: float = 1e-4,
        contrast: float = 0.5,
        eps: float = 0.1,
        temperature: float = 0.2,
        loss: str = "info-nce",
        negatives: NegativesName = "exact",
        candidates: Candidates = "batch",
        init: Init = "xavier-uniform",
        batch_size: int = 2048,
        sampler: str = "interaction",
    ) -> None:
        super().__init__(
            graph,
            dim=dim,
            layers=layers,
            penalty=penalty,
            contrast=contrast,
            eps=eps,
            temperature=temperature,
            loss=loss,
            negatives=negatives,
            candidates=candidates,
            init=init,
            batch_size=batch_size,
            sampler=sampler,
        )

    def training_step(self, batch: Triples) -> dict[str, Tensor]:
        """BPR, the penalty and the contrast."""
        clean = self.embeddings()
        if not self.contrast:
            return self.ranking_terms(clean, batch)
        return self.objective(clean, self.view(clean), self.view(clean), batch)

    def view(self, clean: Layers) -> Layers:
        """A run with noise, whose gradient is that of the run without."""
        with torch.no_grad():
            noisy = mean_of(noisy_layers(self.graph, self.user_table, self.item_table, self.layers, self.eps))
        return Layers(*(rows + (other - rows.detach()) for rows, other in zip(clean, noisy, strict=True)))
