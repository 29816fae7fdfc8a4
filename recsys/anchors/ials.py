"""Matrix factorisation with a weight on everything unseen, solved exactly one side at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.recsys.anchors.history import HistoryModel

Ints = npt.NDArray[np.integer]
NUMBERS = 2**22  # in the largest array of a block of rows that are solved together


class IALS(HistoryModel):
    """Embeddings of users ``p`` and items ``q`` whose product is 1 where they met and small everywhere else.

    They minimise, over the pairs ``S`` of training,
    ``sum_S (p_u.q_i - 1)^2 + unseen sum_{all u, i} (p_u.q_i)^2 + l2 (sum_u c_u |p_u|^2 + sum_i c_i |q_i|^2)`` with
    ``c_u = (d_u + unseen I)^nu`` and ``c_i = (d_i + unseen U)^nu`` for ``d`` pairs of each. With one side fixed, every row of
    the other is a ridge regression in closed form, so that no half of a sweep can raise the sum. The last half solves for
    users: what ``score_histories`` finds for a new history by one such regression is what training found for its own.

    A row of ``d`` pairs takes time ``O(d m dim + m^3)`` for ``m = min(d, dim)``, a sweep that of every row and
    ``O((U + I) dim^2)``; memory ``O((U + I) dim)`` and a block of 16 MB. Who has no history is the zero vector.

    Rendle et al., 2021, https://arxiv.org/abs/2110.14037, after Hu et al., 2008. Same objective. Differs: users are solved for
    first and last; only items start at random. The ALS of the `implicit` package has ``nu = 0`` alone.

    Args:
        dim: Of the embeddings; small ones fit too little, 512 and more is common.
        unseen: Weight of every pair, ``>= 0``; looked for on a log scale: the more items there are, the smaller.
        l2: Strength of the penalty, ``> 0``; looked for on a log scale.
        nu: 1 penalises rows by their number of pairs, 0 all alike; in between, in between.
        sweeps: Of items and then users, ``>= 1``.
        seed: Of the first items, normal with deviation ``0.1 / sqrt(dim)``.

    Attributes:
        users_: Embeddings of the users of training.
        items_: Embeddings of items.

    Shapes:
        users_: ``(U, dim)``; items_: ``(I, dim)``.

    Raises:
        InputError: Values out of range; when fitting, an ``l2`` too small for float32.
    """

    users_: Tensor
    items_: Tensor

    def __init__(
        self, dim: int = 64, *, unseen: float = 0.1, l2: float = 0.01, nu: float = 1.0, sweeps: int = 16, seed: int = 0
    ) -> None:
        if dim < 1 or sweeps < 1:
            raise InputError(f"dim and sweeps must be >= 1; got {dim} and {sweeps}")
        if not 0 <= unseen < np.inf or not 0 < l2 < np.inf or not 0 <= nu <= 1:
            raise InputError(f"unseen must be >= 0, l2 > 0 and nu from 0 to 1; got {unseen}, {l2} and {nu}")
        self.dim, self.unseen, self.l2, self.nu, self.sweeps, self.seed = dim, unseen, l2, nu, sweeps, seed

    def learn(self, histories: sp.csr_matrix) -> None:
        """Solve for one side and the other in turn; see the class."""
        people = sp.csr_matrix(histories.T)
        start = torch.Generator().manual_seed(self.seed)
        self.items_ = torch.randn(histories.shape[1], self.dim, generator=start) * (0.1 / self.dim**0.5)
        self.users_ = self._solve(histories, self.items_)
        for _ in range(self.sweeps):
            self.items_ = self._solve(people, self.users_)
            self.users_ = self._solve(histories, self.items_)

    def scores(self, histories: sp.csr_matrix) -> Tensor:
        """Embed histories ``(B, I)`` by one solve, and score every item."""
        return self._solve(histories, self.items_) @ self.items_.T

    def score(self, users: Tensor) -> Tensor:
        """Inner products of the embeddings of some users with every item's; 0 throughout for a user without a history.

        Shapes:
            users: ``(B,)``; returns: ``(B, I)`` float32.

        Raises:
            InputError: Before ``fit``, or a user that training does not know.
        """
        rows = torch.from_numpy(self._known(users))
        return self.users_.index_select(0, rows) @ self.items_.T

    def _solve(self, rows: sp.csr_matrix, table: Tensor) -> Tensor:
        return solve_rows(rows.indptr, rows.indices, table, unseen=self.unseen, l2=self.l2, nu=self.nu)


def solve_rows(indptr: Ints, indices: Ints, table: Tensor, *, unseen: float, l2: float, nu: float) -> Tensor:
    """The best row ``x = (sum_{j in row} t_j t_j^T + unseen T^T T + l2 (d + unseen M)^nu I)^-1 sum_{j in row} t_j`` for each.

    In the eigenbasis of ``T^T T`` all but the row's own part is diagonal, ``G``. With ``A`` the entries of ``T`` that a row of
    ``d < D`` met, over ``sqrt(G)``, ``x = G^-1/2 A^T (A A^T + I)^-1 1``: a system of ``d`` equations in place of ``D``. Rows of
    similar lengths are solved together by batched Cholesky factors.

    Args:
        indptr: Where rows start and end in ``indices``.
        indices: Entries of ``table`` that each row met.
        table: The fixed side ``T``, float32 or float64.
        unseen: As in ``IALS``.
        l2: As in ``IALS``.
        nu: As in ``IALS``.

    Shapes:
        indptr: ``(N + 1,)``; indices: ``(E,)``; table: ``(M, D)``; returns: ``(N, D)``.

    Raises:
        InputError: A system that is singular in the precision of ``table``.
    """
    count, dim = table.shape
    wide = table.double()
    shared, basis = torch.linalg.eigh(unseen * (wide.T @ wide))
    shared, basis = shared.clamp_(min=0), basis.to(table.dtype)
    padded = torch.cat([table @ basis, table.new_zeros(1, dim)])
    found = table.new_zeros(len(indptr) - 1, dim)
    for rows, degree in _blocks(np.diff(indptr), dim):
        step = np.arange(degree[-1])
        where = np.minimum(indptr[rows, None] + step, len(indices) - 1)
        entries = torch.from_numpy(np.where(step < degree[:, None], indices[where], count))
        penalty = torch.from_numpy(l2 * (degree + unseen * count) ** nu)
        root = (shared + penalty[:, None]).sqrt_().to(table.dtype)[:, None]
        met = padded.index_select(0, entries.view(-1)).view(len(rows), -1, dim).div_(root)
        short = len(step) < dim
        system = met @ met.mT if short else met.mT @ met
        system.diagonal(dim1=1, dim2=2).add_(1)
        factor, failed = torch.linalg.cholesky_ex(system)
        if bool(failed.any()):
            raise InputError(f"a system of iALS cannot be solved in {table.dtype} with l2 = {l2}: a larger l2 is needed")
        ones = met.new_ones(len(rows), len(step), 1)
        solved = met.mT @ torch.cholesky_solve(ones, factor) if short else torch.cholesky_solve(met.mT @ ones, factor)
        found.index_copy_(0, torch.from_numpy(rows), solved[:, :, 0].div_(root[:, 0]))
    solution: Tensor = found @ basis.T
    return solution


def _blocks(degrees: Ints, dim: int) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Numbers and degrees of rows to solve together, shortest first; empty rows, whose solution is 0, are left out."""
    order = np.argsort(degrees, kind="stable")
    order = order[degrees[order] > 0]
    degree = degrees[order].astype(np.int64)
    start = 0
    while start < len(order):
        # The longest row is the last, so a block of so many rows fits where its own last row says so.
        width = degree[start:] * dim
        fits = np.arange(1, len(width) + 1) * width <= NUMBERS
        stop = start + max(1, int(np.count_nonzero(fits)))
        yield order[start:stop], degree[start:stop]
        start = stop
