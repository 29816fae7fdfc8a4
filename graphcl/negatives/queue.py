"""The candidates of earlier steps, kept in a ring."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.negatives.count import log_count


class Queue(nn.Module):
    """``log sum_k exp(scale * <a_i, key_k>)`` over the last ``size`` candidates instead of those of the batch.

    More negatives than a batch holds, without a gradient to them. The keys are stale: the sum is exact over keys that older
    weights have made, with an error of either sign. Where the rule has ``different`` ids, keys of the anchor's own id do not
    count; what else it says is about the batch, of which nothing is met. Only the filled part takes part.
    Time ``O(N size D)``, memory ``O((N + size) D)``; state ``size * D``.

    ``enqueue="after"`` is MoCo (He et al., 2020, https://arxiv.org/abs/1911.05722): the caller hands over the keys, by
    ``update``, after the step, and before the first one. ``"before"`` is XBM (Wang et al., 2020,
    https://arxiv.org/abs/1912.06798): in training the candidates enter before they are met, and their ids keep an anchor
    from itself; the other direction of the same step, which brings the rows of both views again, lets them in only
    once. Differs in that the part not yet filled is never met; MoCo starts from random keys.

    Args:
        size: Keys kept, at least a batch.
        dim: ``D``.
        enqueue: When the batch enters.
        max_age: Keys that entered more than so many updates ago do not count; all count when ``None``.

    Raises:
        InputError: A queue of nothing, an empty one, a batch that is larger than it, keys of another shape, a rule that the
            queue has no answer to.
    """

    reads_ids = True
    keys: Tensor
    ids: Tensor
    born: Tensor
    updates: Tensor
    pointer: Tensor

    def __init__(
        self, size: int, dim: int, *, enqueue: Literal["after", "before"] = "after", max_age: int | None = None
    ) -> None:
        super().__init__()
        if size < 1 or dim < 1:
            raise InputError(f"size and dim must be >= 1, the number of keys and their length; got {size} and {dim}")
        if enqueue not in ("after", "before"):
            raise InputError(f"enqueue must be 'after' (MoCo) or 'before' (XBM) the batch is contrasted; got '{enqueue}'")
        if max_age is not None and max_age < 0:
            raise InputError(f"max_age must be >= 0 updates, or None to keep all; got {max_age}")
        self.enqueue = enqueue
        self.max_age = max_age
        self.register_buffer("keys", torch.zeros(size, dim))
        self.register_buffer("ids", torch.full((size,), -1))
        self.register_buffer("born", torch.full((size,), -1))  # the update a key came with, -1 where there is none yet
        self.register_buffer("updates", torch.tensor(0))
        self.register_buffer("pointer", torch.tensor(0))

    @torch.no_grad()
    def update(self, keys: Tensor, ids: Tensor | None = None) -> None:
        """Puts a batch in, over the oldest keys.

        Args:
            keys: As the loss sees candidates, of unit length for cosine.
            ids: Instances, ``>= 0``; without, a key is nobody's.

        Shapes:
            keys: ``(B, D)``; ids: ``(B,)`` int64.
        """
        size, dim = self.keys.shape
        if keys.ndim != 2 or keys.shape[1] != dim:
            raise InputError(f"keys must be (B, {dim}), as the queue was made; got {tuple(keys.shape)}")
        if len(keys) > size:
            raise InputError(
                f"a queue of {size} is shorter than the batch of {len(keys)}; make it longer, or the batch smaller"
            )
        if ids is not None and ids.shape != (len(keys),):
            raise InputError(f"ids must be a vector of length {len(keys)}, one for each key; got {tuple(ids.shape)}")
        slots = (int(self.pointer) + torch.arange(len(keys), device=self.keys.device)) % size
        self.keys[slots] = keys.to(self.keys)
        self.ids[slots] = -1 if ids is None else ids.to(self.ids)
        self.born[slots] = self.updates
        self.updates += 1
        self.pointer.copy_((self.pointer + len(keys)) % size)

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Log-partition over the queue; gradients go to the anchors.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``, met only by way of the queue; returns: ``(N,)``.
        """
        if not (rule.same is rule.clusters is rule.seen is None):
            raise InputError("a queue knows its keys by their ids alone: the rule may hold exclude and different, nothing else")
        rule.check(len(anchors), len(candidates))
        if self.enqueue == "before" and self.training:
            if rule.different is None:
                raise InputError(
                    "a queue that the batch enters before it is contrasted needs ids, or an anchor would meet itself; "
                    "pass ids to the loss, or use enqueue='after'."
                )
            if not self._entered_last(candidates):
                self.update(candidates, rule.different[1])
        keys, rule = self._met(rule)
        return pair_lse(anchors, Columns(keys.to(anchors)), scale=scale, rule=rule)

    def log_count(self, anchors: Tensor, candidates: Tensor, rule: Rule) -> Tensor:
        """Log of how many keys count.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``.
        """
        keys, rule = self._met(rule)
        return log_count(anchors, keys, rule)

    def _met(self, rule: Rule) -> tuple[Tensor, Rule]:
        """The keys that take part, and which of them count."""
        here = self.born >= 0
        if self.max_age is not None:
            here = here & (self.born >= self.updates - 1 - self.max_age)
        slots = here.nonzero().squeeze(1)
        if len(slots) == 0:
            raise InputError("the queue is empty: fill it by update(keys) before the first loss")
        # A copy: the ring may be written to before the backward pass reads its keys.
        keys, ids = self.keys.index_select(0, slots), self.ids.index_select(0, slots)
        return keys, Rule(different=None if rule.different is None else (rule.different[0], ids))

    def _entered_last(self, rows: Tensor) -> bool:
        """Whether both views entered last, in the other order: this is the way back of the same step."""
        half = len(rows) // 2
        if len(rows) % 2 or len(rows) > len(self):
            return False
        slots = (int(self.pointer) - len(rows) + torch.arange(len(rows), device=self.keys.device)) % len(self.keys)
        swapped = torch.cat([rows[half:], rows[:half]]).detach()
        return torch.equal(self.keys.index_select(0, slots), swapped.to(self.keys))

    def __len__(self) -> int:
        """Keys in the queue, those too old included."""
        return int((self.born >= 0).sum())

    def extra_repr(self) -> str:
        """Size and order, for ``print``."""
        age = "" if self.max_age is None else f", max_age={self.max_age}"
        return f"{len(self.keys)}, {self.keys.shape[1]}, enqueue='{self.enqueue}'{age}"
