"""What a score would be if equal scores were ordered by lot, where the order of ids decided too much."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from graphcl.recsys.ranking.metrics import Floats
from graphcl.recsys.ranking.rows import Flags, HasRows, Ints, pairs
from graphcl.recsys.ranking.top_k import ROWS, Chunk


def ties_at(scores: npt.NDArray[np.floating], tied: Flags, k: int) -> int:
    """Number of lists whose first ``k`` places end between equal scores.

    Shapes:
        scores: ``(B, K)``, ``K >= k``, best first; tied: ``(B,)``, the answer for ``k = K``.
    """
    if k == scores.shape[1]:
        return int(tied.sum())
    return int(((scores[:, k - 1] == scores[:, k]) & np.isfinite(scores[:, k])).sum())


def hit_chances(part: Chunk, hits: Flags, targets: HasRows) -> Floats:
    """Probability that each rank holds a target, over random orders of the items with equal scores.

    It is the share of targets among the items with the score of that rank, those that the list left out among them. Exact, and
    so is the mean of every metric that is a sum over ranks. Time ``O(T I)`` for the ``T`` users with a tie at the cut.

    Shapes:
        hits: ``(B, K)``; returns: ``(B, K)``.
    """
    scores, tied = part.scores.cpu().numpy(), part.tied.cpu().numpy()
    rows, length = hits.shape
    new = np.ones(hits.shape, dtype=np.bool_)
    new[:, 1:] = scores[:, 1:] != scores[:, :-1]
    group = np.cumsum(new, axis=1) - 1 + np.arange(rows)[:, None] * length
    size = np.bincount(group.ravel(), minlength=rows * length).astype(np.float64)
    found = np.bincount(group.ravel(), weights=hits.ravel(), minlength=rows * length)
    if tied.any():
        last = group[tied, -1]
        size[last], found[last] = _level(part, np.flatnonzero(tied), targets)
    return np.asarray((found / np.maximum(size, 1))[group])


def _level(part: Chunk, rows: Ints, targets: HasRows) -> tuple[Floats, Floats]:
    """How many items have the score of the cut, and how many of them are targets; for the given rows."""
    scores, cut = part.all_scores, part.scores[:, -1:]
    blocks = torch.split(torch.from_numpy(rows).to(scores.device), ROWS)
    size = torch.cat([(scores.index_select(0, block) == cut.index_select(0, block)).sum(1) for block in blocks])
    row, item = pairs(targets, part.users[rows])
    flat = torch.from_numpy(rows[row] * scores.shape[1] + item).to(scores.device)
    level = scores.view(-1).index_select(0, flat).cpu().numpy() == cut.cpu().numpy()[rows[row], 0]
    return size.double().cpu().numpy(), np.bincount(row, weights=level, minlength=len(rows)).astype(np.float64)
