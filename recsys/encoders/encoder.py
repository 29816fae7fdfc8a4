"""What all sequence encoders share: the table of items, and the way from jagged histories to states and back."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.recsys.encoders.layout import Layout
from graphcl.recsys.sequences import Jagged


class SequenceEncoder(nn.Module):
    """A causal encoder of histories: the state at a position knows that item and those before it.

    Items are ``0 .. I - 1``. The table has two rows more: ``pad_id = I`` is zero and gets no gradient, ``mask_id = I + 1``
    stands for an item that is hidden. Neither is among ``items()``, so neither can be ranked. Nothing is padded but inside
    attention, see `Layout`. A subclass says what ``states`` are.

    Args:
        num_items: Size ``I`` of the catalogue.
        dim: Width ``D`` of items and states.
        max_length: Items ``M`` of a history that count, the newest.

    Raises:
        InputError: A number below 1.
    """

    def __init__(self, num_items: int, *, dim: int = 64, max_length: int = 50) -> None:
        super().__init__()
        for name, value in (("num_items", num_items), ("dim", dim), ("max_length", max_length)):
            if value < 1:
                raise InputError(f"{name} must be 1 or more; got {value}")
        self.num_items, self.dim, self.max_length = num_items, dim, max_length
        self.pad_id, self.mask_id = num_items, num_items + 1
        self.item_table = nn.Parameter(torch.empty(num_items + 2, dim))
        nn.init.normal_(self.item_table, std=0.02)
        with torch.no_grad():
            self.item_table[self.pad_id] = 0.0

    def items(self) -> Tensor:
        """Rows of the items alone, with gradients.

        Shapes:
            returns: ``(I, D)``.
        """
        return self.item_table.narrow(0, 0, self.num_items)

    def look_up(self, values: Tensor) -> Tensor:
        """Rows of the table; the row of ``pad_id`` gets no gradient.

        Shapes:
            values: ``(E,)``; returns: ``(E, D)``.
        """
        return F.embedding(values, self.item_table, padding_idx=self.pad_id)

    def states(self, values: Tensor, layout: Layout, *, last: bool) -> Tensor:
        """States of rows in the order of a layout, of every position or of the last one of each row.

        Shapes:
            values: ``(E,)``; returns: ``(E, D)``, or ``(R, D)`` for the last ones.
        """
        raise NotImplementedError

    def all_states(self, history: Jagged) -> Tensor:
        """The state at every position, from one pass: what `last_states` gives for the prefix that ends there.

        That holds in evaluation mode, and for positions that count from the start.

        Args:
            history: Rows of at most ``max_length`` items; an empty row is skipped.

        Shapes:
            history.values: ``(E,)``; returns: ``(E, D)``.

        Raises:
            InputError: A longer row, or an id out of range.
        """
        history = self._checked(history)
        longest = int(history.lengths.max()) if history.num_rows else 0
        if longest > self.max_length:
            raise InputError(
                f"a history may have max_length = {self.max_length} items; got one of {longest}. "
                f"Take the newest with history.last({self.max_length})"
            )
        if not len(history.values):
            return self.item_table.new_zeros(0, self.dim)
        layout = Layout.of(history.indptr)
        found = self.states(history.values.index_select(0, layout.where), layout, last=False)
        return found.index_select(0, layout.back())

    def last_states(self, history: Jagged) -> Tensor:
        """The state after the newest item of each row; of longer rows the newest ``max_length`` items count.

        Args:
            history: Rows of any length; an empty one has a row of zeros.

        Shapes:
            history.indptr: ``(B + 1,)``; returns: ``(B, D)``.

        Raises:
            InputError: An id out of range.
        """
        history = self._checked(history).last(self.max_length)
        layout = Layout.of(history.indptr)
        if not len(layout.order):
            return self.item_table.new_zeros(history.num_rows, self.dim)
        found = self.states(history.values.index_select(0, layout.where), layout, last=True)
        return found.new_zeros(history.num_rows, self.dim).index_copy(0, layout.order, found)

    def _checked(self, history: Jagged) -> Jagged:
        """The history on the table's device, once its ids are known to be rows of the table."""
        values = history.values
        if len(values) and not values.is_cuda and (int(values.min()) < 0 or int(values.max()) > self.mask_id):
            raise InputError(
                f"items of a history must lie in 0 .. {self.num_items - 1} ({self.pad_id} pads, {self.mask_id} masks); "
                f"got {int(values.min())} to {int(values.max())}. Are these ids that start at 1?"
            )
        return history if values.device == self.item_table.device else history.to(self.item_table.device)
