"""Views of histories: parts left out, masked, shuffled, exchanged or added; all rows at once, the input left as it is.

A share of a row of ``n`` items is rounded down. A row that had an item has one afterwards; an empty row stays empty. Random
numbers are drawn on the CPU, the same for every device. Time ``O(E log E)`` where places are chosen, else ``O(E)``.
Crop, mask and reorder: Xie et al., 2022 (CL4SRec), https://arxiv.org/abs/2010.14395. Insert and substitute: Liu et al., 2021
(CoSeRec), https://arxiv.org/abs/2108.06479. Differs from ports of them: nothing is written into the batch, and a crop of a
short row is one item, not none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.recsys.sequences.jagged import Jagged

Operator: TypeAlias = Callable[[Jagged, torch.Generator | None], Jagged]


def crop(histories: Jagged, eta: float, generator: torch.Generator | None = None) -> Jagged:
    """A random run of ``max(floor(eta n), 1)`` neighbours of each row.

    Args:
        histories: The rows.
        eta: Share that is kept, in ``(0, 1]``.
        generator: Source of random numbers; torch's own when ``None``.

    Raises:
        InputError: A share out of range.
    """
    _check_share("eta", eta)
    lengths = histories.lengths
    kept = torch.minimum(_share(lengths, eta).clamp(min=1), lengths)
    return histories.spans(histories.indptr[:-1] + _starts(lengths - kept, generator), kept)


def mask(histories: Jagged, gamma: float, mask_id: int, generator: torch.Generator | None = None) -> Jagged:
    """``floor(gamma n)`` random places of each row say ``mask_id``.

    Args:
        histories: The rows.
        gamma: Share that is masked, in ``(0, 1]``.
        mask_id: What masked places say; ``I + 1`` for encoders.
        generator: Source of random numbers; torch's own when ``None``.

    Raises:
        InputError: A share out of range.
    """
    _check_share("gamma", gamma)
    chosen = _chosen(histories, _share(histories.lengths, gamma), generator)
    return histories._replace(values=histories.values.masked_fill(chosen, mask_id))


def reorder(histories: Jagged, beta: float, generator: torch.Generator | None = None) -> Jagged:
    """A random run of ``floor(beta n)`` neighbours of each row in random order.

    Args:
        histories: The rows.
        beta: Share that is shuffled, in ``(0, 1]``.
        generator: Source of random numbers; torch's own when ``None``.

    Raises:
        InputError: A share out of range.
    """
    _check_share("beta", beta)
    lengths, rows, place = histories.lengths, histories.rows, histories.positions
    block = _share(lengths, beta)
    start = _starts(lengths - block, generator)
    first, size = start.index_select(0, rows), block.index_select(0, rows)
    inside = (place >= first) & (place < first + size)
    # Keys that only move within the block of their row: one sort does all rows. Equal keys stay in order.
    key = torch.where(inside, first + _uniform(place, generator) * size, place.double())
    order = torch.argsort(histories.indptr.index_select(0, rows) + key, stable=True)
    return histories._replace(values=histories.values.index_select(0, order))


def substitute(histories: Jagged, rho: float, neighbour: Tensor, generator: torch.Generator | None = None) -> Jagged:
    """``max(floor(rho n), 1)`` random places of each row say the neighbour of their item.

    Args:
        histories: The rows.
        rho: Share that is exchanged, in ``(0, 1]``.
        neighbour: The most similar item of each item by training alone, such as `ItemKNN` finds; -1 for an item without one,
            which stays.
        generator: Source of random numbers; torch's own when ``None``.

    Shapes:
        neighbour: ``(I,)`` int64.

    Raises:
        InputError: A share out of range, or items that have no entry in ``neighbour``.
    """
    similar, chosen = _similar(histories, rho, neighbour, generator)
    return histories._replace(values=torch.where(chosen, similar, histories.values))


def insert(histories: Jagged, rho: float, neighbour: Tensor, generator: torch.Generator | None = None) -> Jagged:
    """The neighbour of an item stands before it, at ``max(floor(rho n), 1)`` random places of each row.

    Rows get longer; ``last`` cuts them to what an encoder takes.

    Args:
        histories: The rows.
        rho: Share of places, in ``(0, 1]``.
        neighbour: As in `substitute`; before an item without one nothing is put.
        generator: Source of random numbers; torch's own when ``None``.

    Shapes:
        neighbour: ``(I,)`` int64.

    Raises:
        InputError: A share out of range, or items that have no entry in ``neighbour``.
    """
    similar, chosen = _similar(histories, rho, neighbour, generator)
    copies = 1 + chosen.long()
    ends = copies.cumsum(0)
    values = histories.values.repeat_interleave(copies)
    # The first of two copies is the newcomer; where there is one copy, this writes the item itself.
    values = values.index_copy(0, ends - copies, torch.where(chosen, similar, histories.values))
    indptr = torch.nn.functional.pad(ends, (1, 0)).index_select(0, histories.indptr)
    return Jagged(values, indptr)


def two_views(
    histories: Jagged, operators: Sequence[Operator], generator: torch.Generator | None = None
) -> tuple[Jagged, Jagged]:
    """Two views of each row by two different operators, each pair of them as likely as the next.

    Args:
        histories: The rows.
        operators: At least two, such as ``lambda rows, generator: crop(rows, 0.6, generator)``.
        generator: Source of random numbers; torch's own when ``None``.

    Raises:
        InputError: Fewer than two operators.
    """
    count = len(operators)
    if count < 2:
        raise InputError(f"two different views take two operators or more; got {count}")
    first = _below(count, histories, generator)
    second = _below(count - 1, histories, generator)
    second = second + (second >= first)
    return _by_row(histories, operators, first, generator), _by_row(histories, operators, second, generator)


def _by_row(histories: Jagged, operators: Sequence[Operator], choice: Tensor, generator: torch.Generator | None) -> Jagged:
    """Each row by the operator of its number."""
    groups = [torch.nonzero(choice == number)[:, 0] for number in range(len(operators))]
    parts = [operator(histories.take(rows), generator) for operator, rows in zip(operators, groups, strict=True)]
    values, lengths = (torch.cat(column) for column in zip(*((part.values, part.lengths) for part in parts), strict=True))
    return Jagged.from_lengths(values, lengths).take(torch.argsort(torch.cat(groups)))


def _similar(histories: Jagged, rho: float, neighbour: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """The neighbour of each value, and at which places it is wanted and there."""
    _check_share("rho", rho)
    values, lengths = histories.values, histories.lengths
    if values.numel() and (int(values.min()) < 0 or int(values.max()) >= len(neighbour)):
        raise InputError(
            f"items must lie in [0, {len(neighbour)}), as neighbour is long; got {int(values.min())} to {int(values.max())}. "
            "Were they masked before?"
        )
    similar = neighbour.to(values.device).index_select(0, values)
    chosen = _chosen(histories, torch.minimum(_share(lengths, rho).clamp(min=1), lengths), generator)
    return similar, chosen & (similar >= 0)


def _chosen(histories: Jagged, counts: Tensor, generator: torch.Generator | None) -> Tensor:
    """``counts`` random places of each row."""
    rows, place = histories.rows, histories.positions
    key = histories.indptr.index_select(0, rows) + _uniform(place, generator) * histories.lengths.index_select(0, rows)
    order = torch.argsort(key, stable=True)
    chosen = torch.zeros_like(place, dtype=torch.bool)
    return chosen.index_copy(0, order, place < counts.index_select(0, rows))


def _starts(room: Tensor, generator: torch.Generator | None) -> Tensor:
    """A random number from 0 to ``room`` for each."""
    return (_uniform(room, generator) * (room + 1)).long()


def _below(limit: int, histories: Jagged, generator: torch.Generator | None) -> Tensor:
    return torch.randint(limit, (histories.num_rows,), generator=generator).to(histories.values.device)


def _uniform(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(like.shape, generator=generator, dtype=torch.float64).to(like.device)


def _share(lengths: Tensor, share: float) -> Tensor:
    # A hair above, since 0.7 * 10 is 7 and 0.07 * 100 is 7.000000000000001, but 0.29 * 100 is 28.999999999999996.
    return (lengths.double() * share + 1e-9).long()


def _check_share(name: str, share: float) -> None:
    if not 0 < share <= 1:
        raise InputError(f"{name} must lie in (0, 1]; got {share}")
