"""Causal self-attention over a history, in the two forms of the literature."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphcl.errors import InputError, unknown_name
from graphcl.recsys.encoders.dropout import Dropout
from graphcl.recsys.encoders.encoder import SequenceEncoder
from graphcl.recsys.encoders.layout import Bucket, Layout

Positions = Literal["start", "recency"]
Norm = Literal["post", "pre"]
EPS = 1e-12
STD = 0.02


class SASEncoder(SequenceEncoder):
    """Transformer blocks in which an item sees itself and what came before it.

    ``norm="post"``, the block of BERT that the contrastive papers share: ``h = Drop(LN(W[x] + P[p]))``, then in each block
    ``h <- LN(h + Drop(MHA(h)))`` and ``h <- LN(h + Drop(W2 gelu(W1 h)))``, inner width ``4 D``. ``norm="pre"``, the original:
    ``h = Drop(sqrt(D) W[x] + P[p])``, in each block ``q = LN(h)``, ``h <- q + MHA(q, h, h)``, ``f = LN(h)``,
    ``h <- f + Drop(W2 Drop(relu(W1 f)))``, inner width ``D``, and a last ``LN``.

    ``positions="start"`` numbers a row from its oldest item, so one pass over a row gives the states of all its prefixes, and
    every prefix is what it would be alone. ``"recency"`` numbers it from its newest, which takes position ``M - 1``: that is
    the model of papers that pad to the left, whatever the padding.

    Only attention is padded, within buckets of length; all else runs on the ``E`` positions. For the last states alone, the
    last block has one query a row. Time ``O(E D^2 + sum_r n_r^2 D)``, memory ``O(E D)`` and the weights of attention.

    Kang and McAuley, 2018, https://arxiv.org/abs/1808.09781 (``"pre"``); the other form is that of Zhou et al., 2020 (S3-Rec),
    https://arxiv.org/abs/2008.07873. Differs: nothing is padded to ``M``, so no row is masked; the original has no product
    after its heads, as here, and ours starts all weights from ``N(0, 0.02^2)``.

    Args:
        num_items: Size of the catalogue.
        dim: Width ``D``, a multiple of ``heads``.
        max_length: Newest items ``M`` that count, the number of positions.
        layers: Blocks, ``>= 1``.
        heads: Of attention.
        dropout: In ``[0, 1)``; of states and of attention, in training.
        positions: ``"start"`` or ``"recency"``.
        norm: ``"post"`` or ``"pre"``.

    Raises:
        InputError: Unknown names, or a value out of range.
    """

    def __init__(
        self,
        num_items: int,
        *,
        dim: int = 64,
        max_length: int = 50,
        layers: int = 2,
        heads: int = 2,
        dropout: float = 0.5,
        positions: Positions = "start",
        norm: Norm = "post",
    ) -> None:
        super().__init__(num_items, dim=dim, max_length=max_length)
        if positions not in get_args(Positions):
            raise unknown_name("numbering of positions", positions, get_args(Positions))
        if norm not in get_args(Norm):
            raise unknown_name("place of the norm", norm, get_args(Norm))
        if layers < 1 or heads < 1 or dim % heads:
            raise InputError(f"layers and heads must be >= 1 and heads divide dim; got {layers}, {heads} and dim {dim}")
        self.positions, self.norm = positions, norm
        self.position_table = nn.Parameter(torch.empty(max_length, dim))
        self.outer_norm = nn.LayerNorm(dim, eps=EPS)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(_Block(dim, heads, dropout, norm) for _ in range(layers))
        nn.init.normal_(self.position_table, std=STD)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=STD)
                nn.init.zeros_(module.bias)

    def states(self, values: Tensor, layout: Layout, *, last: bool) -> Tensor:
        """As `SequenceEncoder.states`."""
        place = layout.step if self.positions == "start" else self.max_length - 1 - layout.from_end
        items = self.look_up(values)
        if self.norm == "pre":
            items = items * math.sqrt(self.dim)
        hidden = items + F.embedding(place, self.position_table)
        hidden = self.dropout(self.outer_norm(hidden) if self.norm == "post" else hidden)
        for number, block in enumerate(self.blocks, 1):
            hidden = block(hidden, layout, last and number == len(self.blocks))
        final: Tensor = self.outer_norm(hidden) if self.norm == "pre" else hidden
        return final


class _Block(nn.Module):
    """Attention and a network of two layers, each with its residual."""

    def __init__(self, dim: int, heads: int, dropout: float, norm: Norm) -> None:
        super().__init__()
        self.heads, self.rate, self.pre = heads, dropout, norm == "pre"
        inner = dim if self.pre else 4 * dim
        self.query, self.key_value = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        self.mix = nn.Identity() if self.pre else nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, inner), nn.Linear(inner, dim)
        self.first_norm, self.second_norm = nn.LayerNorm(dim, eps=EPS), nn.LayerNorm(dim, eps=EPS)
        self.dropout = Dropout(dropout)

    def forward(self, hidden: Tensor, layout: Layout, last: bool) -> Tensor:
        """Every position, or the last of each row alone.

        Shapes:
            hidden: ``(E, D)``; returns: ``(E, D)`` or ``(R, D)``.
        """
        own = hidden.index_select(0, layout.last) if last else hidden
        if self.pre:
            own = self.first_norm(own)
        found = self.mix(self._attend(self.query(own), self.key_value(hidden), layout, last))
        if self.pre:
            middle = self.second_norm(own + found)
            after: Tensor = middle + self.dropout(self.down(self.dropout(F.relu(self.up(middle)))))
            return after
        middle = self.first_norm(own + self.dropout(found))
        after = self.second_norm(middle + self.dropout(self.down(F.gelu(self.up(middle)))))
        return after

    def _attend(self, query: Tensor, key_value: Tensor, layout: Layout, last: bool) -> Tensor:
        rate = self.rate if self.training else 0.0
        found = []
        for bucket in layout.buckets:
            key, value = self._block(key_value, bucket, 2).unbind(0)
            if last:
                queries = query[bucket.rows].view(-1, self.heads, 1, key.shape[-1])
                place = torch.arange(bucket.width, device=query.device)
                there = (place < layout.lengths[bucket.rows, None])[:, None, None]
                out = F.scaled_dot_product_attention(queries, key, value, attn_mask=there, dropout_p=rate)
                found.append(out.reshape(-1, query.shape[1]))
                continue
            (queries,) = self._block(query, bucket, 1).unbind(0)
            out = F.scaled_dot_product_attention(queries, key, value, is_causal=True, dropout_p=rate)
            found.append(out.transpose(1, 2).reshape(-1, query.shape[1]).index_select(0, bucket.real))
        return torch.cat(found)

    def _block(self, flat: Tensor, bucket: Bucket, parts: int) -> Tensor:
        """The positions of a bucket as a padded block, ``(parts, b, heads, T, D / heads)``."""
        rows = flat[bucket.positions].index_select(0, bucket.padded)
        width = flat.shape[1] // parts // self.heads
        return rows.view(-1, bucket.width, parts, self.heads, width).permute(2, 0, 3, 1, 4)
