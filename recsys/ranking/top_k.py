"""The best items of each user out of the whole catalogue, a chunk of users at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.recsys.ranking.rows import HasRows, Ints, pairs

BYTES = 16 * 2**20  # of scores at a time: more is slower, because the choice reads them out of the cache
ROWS = 256  # rows whose ties are resolved at a time


class HasScore(Protocol):
    """A model that scores every item for some users."""

    def score(self, users: Tensor) -> Tensor: ...  # noqa: D102


Call = Callable[[Tensor], Tensor]
Scorer = Call | HasScore


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The inner product of a user and an item, plus a bias of the item; fp16 and bf16 are multiplied in fp32.

    Args:
        users: One row a user.
        items: One row an item.
        bias: Added to the scores of each item.
        trained_on: Fingerprint of the training rows, where it is known.

    Shapes:
        users: ``(U, D)``; items: ``(I, D)``; bias: ``(I,)``.

    Raises:
        InputError: Other shapes, or values that are not finite.
    """

    users: Tensor
    items: Tensor
    bias: Tensor | None = None
    trained_on: str | None = None

    def __post_init__(self) -> None:
        users, items, bias = self.users, self.items, self.bias
        if users.ndim != 2 or items.ndim != 2 or users.shape[1] != items.shape[1] or len(items) == 0:
            raise InputError(f"embeddings must be (U, D) and (I, D); got {tuple(users.shape)} and {tuple(items.shape)}")
        if bias is not None and bias.shape != (len(items),):
            raise InputError(f"bias must be one number for each of the {len(items)} items; got {tuple(bias.shape)}")
        for name, tensor in (("users", users), ("items", items), ("bias", bias)):
            if tensor is None:
                continue
            if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
                raise InputError(f"{name} must be finite floating-point numbers; got {tensor.dtype}. Did training diverge?")
            wide = tensor.detach() if tensor.dtype in (torch.float32, torch.float64) else tensor.detach().float()
            object.__setattr__(self, name, wide)

    def score(self, users: Tensor) -> Tensor:
        """Inner products.

        Shapes:
            users: ``(B,)``; returns: ``(B, I)``.
        """
        if users.numel() and int(users.max()) >= len(self.users):
            raise InputError(f"user {int(users.max())} has no embedding: there are {len(self.users)} rows")
        scores = self.users.index_select(0, users.to(self.users.device)) @ self.items.T
        return scores if self.bias is None else scores.add_(self.bias)


@dataclass(frozen=True, eq=False)
class TopK:
    """The best items of some users, best first; of equal scores the lowest item comes first.

    Args:
        users: Whose lists these are.
        items: ``-1`` where a user has fewer than ``k`` candidates.
        scores: ``-inf`` at the same places.
        tied: Users whose ``k``-th item has the score of an item that was left out: there the id decided.

    Shapes:
        users: ``(B,)`` int64; items: ``(B, k)`` int32; scores: ``(B, k)``; tied: ``(B,)`` bool.
    """

    users: Tensor
    items: Tensor
    scores: Tensor
    tied: Tensor

    @property
    def num_ties(self) -> int:
        """Number of users with a tie at the cut."""
        return int(self.tied.sum())


@dataclass(frozen=True, eq=False)
class Chunk:
    """The lists of some users beside all their scores, on the scorer's device; what may not be listed is ``-inf``."""

    users: Ints
    all_scores: Tensor
    items: Tensor
    scores: Tensor
    tied: Tensor


def top_k(
    scorer: Scorer | tuple[Tensor, ...],
    users: Tensor | Sequence[int] | npt.NDArray[np.integer],
    k: int,
    *,
    seen: HasRows | None = None,
    candidates: Tensor | Sequence[int] | npt.NDArray[np.integer] | None = None,
    chunk: int | None = None,
) -> TopK:
    """The ``k`` best items of each user, exactly, over the whole catalogue.

    Equal scores are ordered by item id, lowest first, at the cut as within the list; ``tied`` says where that decided who is
    in. A score of ``-inf`` means "never". Time ``O(B I D)`` for embeddings and ``O(B I)`` for the choice; memory a chunk of
    scores and its copy, whatever ``B`` is.

    Args:
        scorer: ``Embeddings`` or the tuple of its arguments, a model with ``score``, or a function of user ids to scores.
        users: Ids, in any order.
        k: Length of the lists, ``>= 1``.
        seen: Items that are never listed for their user.
        candidates: Items that may be listed; all when ``None``.
        chunk: Users at a time; by default as many as have 16 MB of scores.

    Shapes:
        users: ``(B,)``; scorer: ``(b,)`` int64 to ``(b, I)``; returns: lists of ``(B, k)`` on the CPU.

    Raises:
        InputError: Ids out of range, scores of another shape, or scores that are NaN or ``+inf``.
    """
    ids = _ids(users, "users")
    parts = [(part.items, part.scores, part.tied) for part in chunks(scorer, ids, k, seen, candidates, chunk)]
    if not parts:
        return TopK(
            torch.empty(0, dtype=torch.int64),
            torch.empty(0, k, dtype=torch.int32),
            torch.empty(0, k),
            torch.empty(0, dtype=torch.bool),
        )
    items, scores, tied = (torch.cat([tensor.cpu() for tensor in column]) for column in zip(*parts, strict=True))
    return TopK(torch.from_numpy(ids), items, scores, tied)


@torch.no_grad()
def chunks(
    scorer: Scorer | tuple[Tensor, ...],
    users: Ints,
    k: int,
    seen: HasRows | None,
    candidates: Tensor | Sequence[int] | npt.NDArray[np.integer] | None,
    chunk: int | None,
) -> Iterator[Chunk]:
    """``top_k`` a chunk at a time, for callers that also need the scores. A chunk is good until the next one is drawn."""
    if k < 1 or (chunk is not None and chunk < 1):
        raise InputError(f"k and chunk must be 1 or more; got {k} and {chunk}")
    if len(users) == 0:
        return
    if users.min() < 0 or (seen is not None and users.max() >= seen.num_users):
        limit = "" if seen is None else f" and below {seen.num_users}"
        raise InputError(f"users must be 0 or more{limit}; got {users.min()} to {users.max()}")
    call = scores_of(scorer)
    first = _scores(call, users[:1], seen)
    banned = None if candidates is None else _banned(_ids(candidates, "candidates"), first)
    if chunk is None:
        chunk = max(1, BYTES // (first.shape[1] * first.element_size()))
    for start in range(0, len(users), chunk):
        block = users[start : start + chunk]
        scores = _scores(call, block, seen)
        if banned is not None:
            scores.masked_fill_(banned, -torch.inf)
        if seen is not None:
            row, item = pairs(seen, block)
            flat = torch.from_numpy(row * scores.shape[1] + item).to(scores.device)
            scores.view(-1).index_fill_(0, flat, -torch.inf)
        yield Chunk(block, scores, *_best(scores, k))


def scores_of(scorer: Scorer | tuple[Tensor, ...]) -> Call:
    """The function behind any kind of scorer."""
    if isinstance(scorer, tuple):
        if len(scorer) not in (2, 3):
            raise InputError(f"a tuple of embeddings is (users, items) or (users, items, bias); got {len(scorer)} tensors")
        users, items, *bias = scorer
        scorer = Embeddings(users, items, bias[0] if bias else None)
    score = getattr(scorer, "score", scorer)
    if not callable(score):
        raise InputError(f"a scorer is embeddings, a model with score(users) or a function; got {type(scorer).__name__}")
    found: Call = score
    return found


def _scores(call: Call, users: Ints, seen: HasRows | None) -> Tensor:
    scores = call(torch.from_numpy(users))
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != len(users) or not scores.is_floating_point():
        got = f"{tuple(scores.shape)} of {scores.dtype}" if isinstance(scores, Tensor) else type(scores).__name__
        raise InputError(f"a scorer must give ({len(users)}, I) floating-point scores for {len(users)} users; got {got}")
    if seen is not None and scores.shape[1] != seen.num_items:
        raise InputError(f"the scorer knows {scores.shape[1]} items, the interactions {seen.num_items}: ids must be the same")
    # Masks are written into the scores, and only products of our own may be written into.
    if isinstance(getattr(call, "__self__", None), Embeddings):
        return scores
    wide = scores.dtype if scores.dtype in (torch.float32, torch.float64) else torch.float32
    return scores.detach().to(wide, copy=True, memory_format=torch.contiguous_format)


def _banned(candidates: Ints, scores: Tensor) -> Tensor:
    if len(candidates) == 0 or candidates.min() < 0 or candidates.max() >= scores.shape[1]:
        found = f"{candidates.min()} to {candidates.max()}" if len(candidates) else "none"
        raise InputError(f"candidates must be item ids in [0, {scores.shape[1]}), at least one; got {found}")
    banned = torch.ones(scores.shape[1], dtype=torch.bool)
    banned[torch.from_numpy(candidates)] = False
    return banned.to(scores.device)


def _best(scores: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Items ``(B, k)`` int32, their scores, and whether the cut went through equal scores ``(B,)``."""
    width = min(k, scores.shape[1])
    values, items = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    # NaN counts as the largest of all here, so that the first column shows any.
    if not bool((values[:, 0] < torch.inf).all()):
        raise InputError(
            "scores must be numbers, and -inf for items that are never listed; got NaN or +inf. Did training diverge?"
        )
    tied = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    if values.shape[1] > width:
        tied = (values[:, width - 1] == values[:, width]) & (values[:, width] > -torch.inf)
        values, items = values[:, :width].contiguous(), items[:, :width].contiguous()
        for rows in torch.split(tied.nonzero().view(-1), ROWS):
            block, cut = scores.index_select(0, rows), values[rows, -1:]
            above, level = block > cut, block == cut
            free = width - above.sum(1, keepdim=True)
            keep = above | (level & (level.cumsum(1, dtype=torch.int32) <= free))
            chosen = keep.nonzero()[:, 1].view(-1, width)
            items[rows], values[rows] = chosen, block.gather(1, chosen)
    items, order = items.sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    items = torch.where(values > -torch.inf, items.gather(1, order), -1).int()
    if width < k:
        items = torch.nn.functional.pad(items, (0, k - width), value=-1)
        values = torch.nn.functional.pad(values, (0, k - width), value=-torch.inf)
    return items, values, tied


def _ids(ids: Tensor | Sequence[int] | npt.NDArray[np.integer], name: str) -> Ints:
    array = np.asarray(ids.detach().cpu().numpy() if isinstance(ids, Tensor) else ids)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InputError(f"{name} must be a vector of integer ids; got {array.dtype} of shape {array.shape}")
    return array.astype(np.int64)
