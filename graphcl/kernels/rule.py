"""Which pairs count, told by integers of rows and columns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from graphcl.errors import InputError

Ids = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Rule:
    """Which pairs count, told by integer ids and never by an N x M mask.

    What is given holds together: a pair counts where every part lets it.

    Args:
        exclude: The column that each row leaves out (itself, its positive, its own cluster), by ``Columns.ids`` where there are
            some, else by position; a name that no column has leaves out nothing.
        same: Ids of the rows and of the columns: only pairs with equal ids count (one cluster, positives of one label).
        different: Ids of the rows and of the columns: only pairs with different ids count (other labels, other instances).
        clusters: Cluster ids of the rows and of the columns in ``C`` clusterings: a pair counts as often as there are
            clusterings that set the two apart, and not at all where all agree (the weights of MEOW).
        seen: Row pointers and columns, by position, of a CSR pattern: the listed pairs do not count (items a user has seen).

    Shapes:
        exclude: ``(N,)`` int64; same, different: ``((N,), (M,))``; clusters: ``((N, C), (M, C))``; seen: ``((N + 1,), (E,))``.
    """

    exclude: Tensor | None = None
    same: Ids | None = None
    different: Ids | None = None
    clusters: Ids | None = None
    seen: Ids | None = None

    def check(self, num_rows: int, num_columns: int) -> None:
        """Refuses ids that do not speak of these rows and columns.

        Args:
            num_rows: ``N``.
            num_columns: ``M``.

        Raises:
            InputError: Another length, not integers, columns of ``seen`` out of range.
        """
        if self.exclude is not None:
            if self.exclude.shape != (num_rows,):
                raise InputError(
                    f"exclude must be a vector of length {num_rows}; got {tuple(self.exclude.shape)}. "
                    "It names one column for each anchor."
                )
            _check_integers("exclude", self.exclude)
        for name, pair in (("same", self.same), ("different", self.different), ("clusters", self.clusters)):
            if pair is not None:
                _check_pair(name, pair, num_rows, num_columns, ndim=2 if name == "clusters" else 1)
        if self.seen is not None:
            _check_seen(*self.seen, num_rows, num_columns)


def _check_pair(name: str, pair: Ids, num_rows: int, num_columns: int, ndim: int) -> None:
    for ids, length, side in zip(pair, (num_rows, num_columns), ("anchors", "candidates"), strict=True):
        if ids.ndim != ndim or len(ids) != length:
            what = f"a vector of length {length}" if ndim == 1 else f"({length}, C), a column for each clustering"
            raise InputError(
                f"{name} must give the ids of the {side} as {what}; got {tuple(ids.shape)}. "
                "Its two parts are the ids of the rows and the ids of the columns, in this order."
            )
        _check_integers(name, ids)
    if pair[0].shape[1:] != pair[1].shape[1:] or 0 in pair[0].shape[1:]:
        raise InputError(
            f"{name} must hold the same clusterings, at least one, for anchors and candidates; got {pair[0].shape[1]} and "
            f"{pair[1].shape[1]}. Column m of both must come from clustering m."
        )


def _check_integers(name: str, ids: Tensor) -> None:
    if ids.is_floating_point() or ids.is_complex():
        raise InputError(f"{name} must be integers, or ids that should be equal may differ; got {ids.dtype}. Use .long().")


def _check_seen(crow: Tensor, col: Tensor, num_rows: int, num_columns: int) -> None:
    _check_integers("seen", crow)
    _check_integers("seen", col)
    rises = crow.shape == (num_rows + 1,) and col.ndim == 1
    rises = rises and int(crow[0]) == 0 and int(crow[-1]) == len(col) and bool((crow[1:] >= crow[:-1]).all())
    if not rises:
        raise InputError(
            f"seen must be row pointers ({num_rows + 1},) that rise from 0 to the number of listed columns, and these columns; "
            f"got {tuple(crow.shape)} and {tuple(col.shape)}. For a CSR matrix x: (x.crow_indices(), x.col_indices())."
        )
    if len(col) and (int(col.min()) < 0 or int(col.max()) >= num_columns):
        raise InputError(
            f"seen must list columns in [0, {num_columns}); got {int(col.min())} to {int(col.max())}. "
            "They are positions among the candidates, not ids."
        )
