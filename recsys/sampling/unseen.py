"""Items that a user does not have, each as likely as any other."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.recsys.ranking.rows import HasRows, check_rows
from graphcl.recsys.sampling.draws import below


class Unseen:
    """Exact uniform negatives, without rejection.

    Of the ``I - d_u`` items that user ``u`` lacks, the one of rank ``r`` is drawn, ``r`` uniform. It is item ``r + k``, where
    ``k`` is how many items the user has before it: the first ``k`` at which ``indices[k] - k`` exceeds ``r``. These
    differences never fall along a row, so ``k`` is found by bisection, of all draws at once.

    Time ``O(log d)`` a draw for the longest row among the users asked for, also for a user who lacks one item of many.
    Memory: 8 bytes a user beside the rows, which are not copied. Rejection, the usual way, looks up each draw in a sorted
    array of 8 bytes a pair, and again for those who had the item: some three times as long on real interactions.

    Args:
        train: The rows.

    Raises:
        InputError: Rows that are no rows, or no items.
    """

    def __init__(self, train: HasRows) -> None:
        check_rows(train, "train")
        if train.num_items < 1:
            raise InputError("there is no item to draw: train has 0 items")
        self.num_users, self.num_items = train.num_users, train.num_items
        # Shared where possible; torch wants arrays that it could write to.
        # Shared, unless torch could not: it takes no array that is read-only.
        indptr = torch.from_numpy(np.require(train.indptr, np.int64, ["C", "W"]))
        self.items = torch.from_numpy(np.require(train.indices, np.int32, ["C", "W"]))
        self.start, self.degree = indptr[:-1], indptr.diff()

    def draw(self, users: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """An item for each entry that its user does not have; independent of the others, so that users may repeat.

        Args:
            users: On the CPU.
            generator: Of the ranks; torch's own when ``None``.

        Shapes:
            users: any, int64; returns: the same.

        Raises:
            InputError: A user that training does not know, or one who has every item.
        """
        if users.numel() and (int(users.min()) < 0 or int(users.max()) >= self.num_users):
            raise InputError(f"users must lie in [0, {self.num_users}); got {int(users.min())} to {int(users.max())}")
        user = users.reshape(-1)
        start, degree = self.start.index_select(0, user), self.degree.index_select(0, user)
        full = degree == self.num_items
        if bool(full.any()):
            raise InputError(
                f"user {int(user[full.int().argmax()])} has all {self.num_items} items, so there is no negative to draw: "
                "leave such users out"
            )
        rank = below(self.num_items - degree, generator)
        before = torch.zeros_like(rank)
        rounds = int(degree.max()).bit_length() if len(user) else 0
        for bit in reversed(range(rounds)):
            place = before + (2**bit - 1)
            # Past the row the item means nothing, and the second condition says so; past the last row there is none to read.
            item = self.items.index_select(0, (start + place).clamp_(max=len(self.items) - 1))
            before.add_((item - place <= rank) & (place < degree), alpha=2**bit)
        return (rank + before).view(users.shape)
