"""What came after this came after it before: counts of transitions, the yardstick of sequential recommendation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.recsys.data.interactions import Interactions
from graphcl.recsys.ranking import hits_of, score_lists, top_k
from graphcl.recsys.ranking.rows import degrees
from graphcl.recsys.sequences import Sequences, next_events, sequence_split

DECAYS = tuple(tenth / 10 for tenth in range(1, 11))
POWERS = (0.0, 0.1, 0.25, 0.5)
TUNED_ON = 4096  # users at most
CUT = 10


@dataclass(frozen=True, eq=False)
class MarkovScorer:
    """Scores of some histories by counted transitions: what ranking takes.

    Args:
        queries: Weight of each recent item of each history.
        weights: Counts of transitions.
        prior: What breaks zeros.
        trained_on: Fingerprint of the training rows.

    Shapes:
        queries: ``(B, I)``; weights: ``(I, I)``; prior: ``(I,)``.
    """

    queries: sp.csr_matrix
    weights: sp.csr_matrix
    prior: npt.NDArray[np.float32]
    trained_on: str

    def score(self, users: Tensor) -> Tensor:
        """Scores of every item; by popularity alone for a user without history.

        Shapes:
            users: ``(B,)``, rows of the histories; returns: ``(B, I)`` float32.

        Raises:
            InputError: A user that has no row.
        """
        rows, count = users.cpu().numpy(), self.queries.shape[0]
        if rows.size and (rows.min() < 0 or rows.max() >= count):
            raise InputError(f"users must lie in [0, {count}); got {rows.min()} to {rows.max()}")
        found = (self.queries[rows] @ self.weights).toarray()
        found += self.prior
        return torch.from_numpy(found)


class Markov:
    """How often an item came soon after those of a history: ``s_j = sum_k decay^k T_{x_k j} + 1e-9 p_j``, ``x_0`` the newest.

    ``T_ij = sum 1 / g`` over every time that ``j`` came ``g <= gap`` places after ``i`` in training, over ``p_j^power`` for the
    ``p_j`` events of ``j``; ``k`` runs over the ``recent`` newest items of the history. Popularity decides where no transition
    leads: beside a transition it is below the precision of float32, so that items reached alike are in order of their ids. The
    order of events is all this model knows, so where that of a day is that of a file, it may know the file.

    What is not given is tuned: by nDCG@10 of each user's next event in validation, over ``DECAYS`` with the first power and
    then over ``POWERS``, on 4096 users at most, the same ones every time. Fitting takes time and memory ``O(gap E)``, scoring
    ``O(B (I + recent d))`` for ``d`` transitions from an item.

    Counts of transitions are older than their authors; Rendle et al., 2010, https://doi.org/10.1145/1772690.1772773, factorise
    those of neighbours alone, per user. Here they reach farther, and are neither factorised nor personal.

    Args:
        decay: Weight of an item by that of the next newer one, in ``(0, 1]``; tuned when ``None``.
        power: Holds down popular items, ``>= 0``; tuned when ``None``.
        gap: Farthest places apart that count, ``>= 1``.
        recent: Items of a history that count, ``>= 1``.
        mask_seen: Whether tuning leaves out items of the history, as ranking will.

    Attributes:
        decay_: Chosen or given.
        power_: Chosen or given.
        weights_: ``T``.
        tuned_: nDCG@10 of every pair of decay and power that was tried; empty where both were given.
        trained_on: Fingerprint of the training rows, for ranking to check; ``None`` before ``fit``.

    Raises:
        InputError: Values out of range.
    """

    decay_: float
    power_: float
    weights_: sp.csr_matrix
    tuned_: dict[tuple[float, float], float]

    def __init__(
        self,
        decay: float | None = None,
        power: float | None = None,
        *,
        gap: int = 10,
        recent: int = 20,
        mask_seen: bool = True,
    ) -> None:
        if (decay is not None and not 0 < decay <= 1) or (power is not None and not 0 <= power < np.inf):
            raise InputError(f"decay must lie in (0, 1] and power be >= 0; got {decay} and {power}")
        if gap < 1 or recent < 1:
            raise InputError(f"gap and recent must be >= 1; got {gap} and {recent}")
        self.decay, self.power, self.gap, self.recent, self.mask_seen = decay, power, gap, recent, mask_seen
        self.trained_on: str | None = None

    def fit(self, train: Sequences, valid: Sequences | None = None) -> Self:
        """Count, after tuning what was not given.

        Args:
            train: Training alone.
            valid: What came next, for tuning; the last training event of each user when ``None``, held out for that.

        Raises:
            InputError: No events, or nothing to tune on.
        """
        if train.num_events == 0:
            raise InputError("Markov cannot learn from no events: train is empty")
        self.decay_, self.power_, self.tuned_ = self.decay or DECAYS[0], self.power or 0.0, {}
        if self.decay is None or self.power is None:
            self._tune(train, valid)
        self._count(train)
        self.trained_on = train.fingerprint
        self._own = self.scorer(train)
        return self

    def score(self, users: Tensor) -> Tensor:
        """Scores of every item by the training rows of some users; by popularity alone for a user without one.

        Shapes:
            users: ``(B,)``; returns: ``(B, I)`` float32.

        Raises:
            InputError: Before ``fit``, or a user that training does not know.
        """
        self._check_fitted()
        return self._own.score(users)

    def score_histories(self, histories: Sequences) -> Tensor:
        """Scores of every item by any histories over the same items; what training knows of a user is not added.

        Shapes:
            returns: ``(B, I)`` float32, a row for each user of ``histories``.

        Raises:
            InputError: Before ``fit``, or other items.
        """
        return self.scorer(histories).score(torch.arange(histories.num_users))

    def scorer(self, histories: Sequences) -> MarkovScorer:
        """What ranks by histories: those before the part that is scored, ``SequenceSplit.histories(part)``.

        Raises:
            InputError: Before ``fit``, or other items.
        """
        trained_on = self._check_fitted()
        if histories.num_items != self.weights_.shape[0]:
            raise InputError(
                f"histories must be over the {self.weights_.shape[0]} items of training; got {histories.num_items}"
            )
        recent = histories.jagged().last(self.recent)
        age = (recent.lengths - 1).index_select(0, recent.rows) - recent.positions
        weight = np.float64(self.decay_) ** age.numpy()
        shape = (histories.num_users, histories.num_items)
        queries = sp.csr_matrix((weight.astype(np.float32), recent.values.numpy(), recent.indptr.numpy()), shape=shape)
        return MarkovScorer(queries, self.weights_, self._prior, trained_on)

    def _count(self, train: Sequences) -> None:
        items = train.num_items
        user = np.repeat(np.arange(train.num_users), train.lengths)
        early, late, shares = [], [], []
        for gap in range(1, self.gap + 1):
            same = user[gap:] == user[:-gap]
            early.append(train.values[:-gap][same])
            late.append(train.values[gap:][same])
            shares.append(np.full(early[-1].size, 1 / gap, dtype=np.float32))
        pairs = (np.concatenate(early), np.concatenate(late))
        self.weights_ = sp.csr_matrix((np.concatenate(shares), pairs), shape=(items, items))
        popularity = np.bincount(train.values, minlength=items)
        if self.power_:
            self.weights_.data *= (np.maximum(popularity, 1.0) ** -self.power_).astype(np.float32)[self.weights_.indices]
        self._prior = (1e-9 * popularity).astype(np.float32)

    def _tune(self, train: Sequences, valid: Sequences | None) -> None:
        past = train
        if valid is None:
            held = sequence_split(train, valid=False)
            past, valid = held.train, held.test
        seen, target = past.interactions(), next_events(valid).interactions()
        users = np.flatnonzero((degrees(target) > 0) & (degrees(seen) > 0))
        if users.size == 0:
            raise InputError("nobody has both a history and a next event to tune on: give decay and power")
        drawn = torch.randperm(len(users), generator=torch.Generator().manual_seed(0))[:TUNED_ON]
        users = users[np.sort(drawn.numpy())]
        self.trained_on = past.fingerprint
        self._count(past)
        for decay in DECAYS if self.decay is None else (self.decay,):
            self._try(decay, past, seen, target, users)
        best = max(self.tuned_, key=lambda tried: self.tuned_[tried])
        for power in POWERS[1:] if self.power is None else ():
            self.power_ = power
            self._count(past)
            self._try(best[0], past, seen, target, users)
        self.decay_, self.power_ = max(self.tuned_, key=lambda tried: self.tuned_[tried])

    def _try(
        self, decay: float, past: Sequences, seen: Interactions, target: Interactions, users: npt.NDArray[np.int64]
    ) -> None:
        self.decay_ = decay
        lists = top_k(self.scorer(past), users, CUT, seen=seen if self.mask_seen else None)
        scores = score_lists(hits_of(lists.items.numpy(), users, target), degrees(target)[users], [CUT], ["ndcg"])
        self.tuned_[decay, self.power_] = float(scores[f"ndcg@{CUT}"].mean())

    def _check_fitted(self) -> str:
        if self.trained_on is None:
            raise InputError("Markov has learnt nothing yet: call fit(train) first")
        return self.trained_on
