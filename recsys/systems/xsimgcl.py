"""XSimGCL: one noisy run ranks, and its end should agree with one of its own layers."""

from __future__ import annotations

from torch import Tensor

from graphcl.errors import InputError
from graphcl.negatives import NegativesName
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.sampling import Triples
from graphcl.recsys.systems.contrast import Candidates
from graphcl.recsys.systems.noise import NoisyGCN, noisy_layers
from graphcl.recsys.systems.system import Init, Layers, mean_of


class XSimGCL(NoisyGCN):
    """BPR and InfoNCE of one run with noise: the mean of its layers against layer ``l``.

    Layers are ``E^l = A E^(l - 1) + eps sign(A E^(l - 1)) n / |n|`` with ``n`` uniform in the unit cube, drawn for each row,
    layer and step. With ``Z' = 1 / L sum_{l = 1}^L E^l`` the loss is
    ``BPR(Z') + penalty 1/2 |E|^2 / B + contrast (InfoNCE(Z', E^l) of users + the same of items)``, each the mean over the
    distinct rows of the batch, which are each other's negatives. Without noise, the same mean is what ranks after training.
    With ``contrast=0`` training has no noise either: it is that of the mean over layers 1 to ``L``.

    Time ``O(2 L E D)`` a step, as for the graph alone, and ``O(B B D)``; memory ``O(L (U + I) D)``.

    Yu et al., 2023, https://arxiv.org/abs/2209.02544. Differs from the official code (SELFRec): BPR has no small constant in
    its logarithm; the penalty is on squared rows of the tables, there on lengths of propagated ones; no epoch is chosen by
    the test part.

    Args:
        graph: Training interactions.
        dim: Width of the tables.
        layers: Hops ``L``, ``>= 1``.
        contrast_layer: The layer ``l`` that the mean is compared with, from 1 to ``L``.
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
        InputError: A value out of range, or a single layer, which would be compared with itself.
    """

    def __init__(
        self,
        graph: Bipartite,
        *,
        dim: int = 64,
        layers: int = 3,
        contrast_layer: int = 1,
        penalty: float = 1e-4,
        contrast: float = 0.2,
        eps: float = 0.2,
        temperature: float = 0.15,
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
        if not 1 <= contrast_layer <= layers:
            raise InputError(f"contrast_layer must be one of the layers 1 to {layers}; got {contrast_layer}")
        if layers == 1:
            raise InputError("layers must be >= 2: the mean of one layer is that layer, which always agrees with itself")
        self.contrast_layer = contrast_layer

    def candidate_rows(self) -> Layers:
        """The layer that the mean is compared with."""
        return self._weighted([0.0] * self.contrast_layer + [1.0])

    def training_step(self, batch: Triples) -> dict[str, Tensor]:
        """BPR, the penalty and the contrast."""
        if not self.contrast:
            return self.ranking_terms(self.embeddings(), batch)
        layers = noisy_layers(self.graph, self.user_table, self.item_table, self.layers, self.eps)
        mean = mean_of(layers)
        return self.objective(mean, mean, layers[self.contrast_layer - 1], batch)
