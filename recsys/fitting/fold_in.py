"""Users whom training never saw, placed by what they have."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.recsys.ranking.rows import HasRows, Ints, check_rows, matrix


def fold_in(items: Tensor, item_degree: Ints, histories: HasRows) -> Tensor:
    """Embeddings of new users out of the embeddings of items: ``p_u = sum_{i in h} q_i / sqrt(|h| d_i)``.

    One step of propagation with the degrees of training. An approximation: trained users have an embedding of their own
    besides, and their neighbours' of more hops. Items that training does not know say nothing, and do not count in ``|h|``.
    Who has no other item is the zero vector. Time ``O(P D)`` for ``P`` pairs.

    He et al., 2020, https://arxiv.org/abs/2002.02126, equation 3, read for a new user. Differs: applied to final embeddings.

    Args:
        items: Final embeddings of items.
        item_degree: Training users of each item.
        histories: What each new user has.

    Shapes:
        items: ``(I, D)``; item_degree: ``(I,)``; returns: ``(B, D)``, a row for each user of ``histories``.

    Raises:
        InputError: Rows that are no rows, or over other items.
    """
    check_rows(histories, "histories")
    if histories.num_items != len(items):
        raise InputError(f"histories must be over the {len(items)} items of training; got {histories.num_items}")
    known = item_degree > 0
    met = matrix(histories)
    length = met @ known.astype(np.float32)
    right = np.where(known, np.maximum(item_degree, 1) ** -0.5, 0.0)
    left = np.maximum(length, 1) ** -0.5
    scaled = items.detach().float().cpu().numpy() * right[:, None].astype(np.float32)
    return torch.from_numpy((met @ scaled) * left[:, None].astype(np.float32))
