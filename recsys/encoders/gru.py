"""A recurrent network over a history."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from graphcl.errors import InputError
from graphcl.recsys.encoders.dropout import Dropout
from graphcl.recsys.encoders.encoder import SequenceEncoder
from graphcl.recsys.encoders.layout import Layout


class GRUEncoder(SequenceEncoder):
    """Gated recurrent layers from the oldest item to the newest, then one product to the width of items.

    ``h_t = GRU(Drop(W[x_t]), h_{t - 1})`` and the state ``V h_t + c``. Rows run side by side, longest first, and each leaves
    the batch after its last item, so nothing is padded. Time ``O(E H (D + H))`` in ``M`` steps, memory ``O(E H)``.

    Hidasi et al., 2016, https://arxiv.org/abs/1511.06939; widths of RecBole. Differs: whole histories instead of
    session-parallel batches, and the rows of items serve as output too.

    Args:
        num_items: Size of the catalogue.
        dim: Width ``D`` of items and states.
        max_length: Newest items that count.
        hidden: Width ``H`` of the recurrent layers; ``2 D`` when ``None``.
        layers: Recurrent layers, ``>= 1``.
        dropout: Of items and between layers, in training; in ``[0, 1)``.

    Raises:
        InputError: A value out of range.
    """

    def __init__(
        self,
        num_items: int,
        *,
        dim: int = 64,
        max_length: int = 50,
        hidden: int | None = None,
        layers: int = 1,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(num_items, dim=dim, max_length=max_length)
        hidden = 2 * dim if hidden is None else hidden
        if layers < 1 or hidden < 1:
            raise InputError(f"layers and hidden must be 1 or more; got {layers} and {hidden}")
        self.dropout = Dropout(dropout)
        self.recurrent = nn.GRU(dim, hidden, layers, dropout=dropout if layers > 1 else 0.0)
        self.output = nn.Linear(hidden, dim)

    def states(self, values: Tensor, layout: Layout, *, last: bool) -> Tensor:
        """As `SequenceEncoder.states`."""
        # A packed sequence lists the first item of all rows, then the second of all that have one, and so on.
        by_step = torch.argsort(layout.step, stable=True)
        sizes = torch.bincount(layout.step).cpu()
        items = self.dropout(self.look_up(values.index_select(0, by_step)))
        found, final = self.recurrent(PackedSequence(items, sizes))
        if last:
            newest: Tensor = self.output(final[-1])
            return newest
        back = torch.empty_like(by_step).scatter_(0, by_step, torch.arange(len(by_step), device=by_step.device))
        every: Tensor = self.output(found.data.index_select(0, back))
        return every
