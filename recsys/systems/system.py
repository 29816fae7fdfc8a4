"""What all trained recommenders share: a table of users, a table of items, and the graph between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Self, get_args

import torch
from torch import Tensor, nn

from graphcl.errors import InputError, unknown_name
from graphcl.losses import BPR, l2_penalty
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.ranking import Embeddings
from graphcl.recsys.sampling import SAMPLERS, Triples

Init = Literal["normal", "xavier-uniform", "xavier-normal"]


class Layers(NamedTuple):
    """Embeddings of both sides.

    Shapes:
        users: ``(U, D)``; items: ``(I, D)``.
    """

    users: Tensor
    items: Tensor


def mean_of(layers: Sequence[Layers]) -> Layers:
    """The mean of some layers, at least one."""
    users, items = zip(*layers, strict=True)
    return Layers(sum(users[1:], users[0]) / len(layers), sum(items[1:], items[0]) / len(layers))


class RecommendationSystem(nn.Module):
    """Two tables, and a score that is the inner product of what `embeddings` makes of them.

    A subclass says what `embeddings` are and what `training_step` optimises.

    Args:
        graph: Training interactions.
        dim: Width ``D`` of the tables.
        init: ``"normal"`` with deviation ``std``, ``"xavier-uniform"`` or ``"xavier-normal"``, each table by itself.
        std: Of ``"normal"``.
        batch_size: Triples a step.
        sampler: How triples are drawn; see `graphcl.recsys.sampling`.

    Attributes:
        negatives_per_positive: Items drawn beside each interaction.
        batches_per_epoch: Steps of an epoch; as many as the sampler's pass has when ``None``.

    Raises:
        InputError: A value out of range.
    """

    negatives_per_positive: int = 1
    batches_per_epoch: int | None = None

    def __init__(
        self,
        graph: Bipartite,
        *,
        dim: int = 64,
        init: Init = "xavier-uniform",
        std: float = 0.1,
        batch_size: int = 2048,
        sampler: str = "interaction",
    ) -> None:
        super().__init__()
        if dim < 1 or batch_size < 1:
            raise InputError(f"dim and batch_size must be >= 1; got {dim} and {batch_size}")
        if init not in get_args(Init):
            raise unknown_name("init", init, get_args(Init))
        if sampler not in SAMPLERS:
            raise unknown_name("sampler", sampler, SAMPLERS)
        self.graph, self.batch_size, self.sampler = graph, batch_size, sampler
        self.user_table = nn.Parameter(torch.empty(graph.num_users, dim))
        self.item_table = nn.Parameter(torch.empty(graph.num_items, dim))
        for table in (self.user_table, self.item_table):
            if init == "normal":
                nn.init.normal_(table, std=std)
            else:
                (nn.init.xavier_uniform_ if init == "xavier-uniform" else nn.init.xavier_normal_)(table)
        self.bpr = BPR()

    def embeddings(self) -> Layers:
        """Final embeddings of everybody, with gradients, without dropout or noise."""
        return Layers(self.user_table, self.item_table)

    def training_step(self, batch: Triples) -> dict[str, Tensor]:
        """Named terms of a batch of triples."""
        raise NotImplementedError

    @torch.no_grad()
    def encode(self) -> Layers:
        """Final embeddings, without gradients: the same at every call. Who has no interaction has a row of zeros.

        Such a user or item was never moved by training, and its random start would pass for a taste.
        """
        training = self.training
        self.eval()
        try:
            users, items = self.embeddings()
        finally:
            self.train(training)
        return Layers(
            users * (self.graph.user_degree > 0)[:, None].to(users), items * (self.graph.item_degree > 0)[:, None].to(items)
        )

    def scorer(self) -> Embeddings:
        """What ranks: the current embeddings, with the fingerprint of the rows they were learned from."""
        return Embeddings(*self.encode(), trained_on=self.graph.fingerprint)

    def ranking_loss(self, users: Tensor, items: Tensor, batch: Triples) -> Tensor:
        """BPR of the triples by the given embeddings."""
        user, positive = users.index_select(0, batch.user), items.index_select(0, batch.positive)
        negative = items.index_select(0, batch.negative.flatten()).view(*batch.negative.shape, -1)
        if negative.ndim == 3:
            user = user.unsqueeze(1)
        loss: Tensor = self.bpr((user * positive.view_as(user)).sum(-1).flatten(), (user * negative).sum(-1))
        return loss

    def table_penalty(self, batch: Triples) -> Tensor:
        """``1/2 sum |z|^2 / B`` over the rows of the tables that the batch looked up, duplicates counted."""
        width = self.item_table.shape[1]
        negative = self.item_table.index_select(0, batch.negative.flatten()).view(*batch.negative.shape, width)
        return l2_penalty(
            self.user_table.index_select(0, batch.user), self.item_table.index_select(0, batch.positive), negative
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """The graph is no part of the state, and goes where the tables go, in their type."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.graph = self.graph.to(self.user_table.device, self.user_table.dtype)
        return self
