"""What sequences seem to be after: centres of their states, found anew before each epoch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import segment_sum

STEPS = 20  # of Lloyd's algorithm, at most
EACH = 256  # rows for each centre that decide where centres lie
_CELLS = 2**22  # distances held at once


class Intents(nn.Module):
    """Centres of states, and which of them a state is nearest to. Kept in the state of the module.

    Args:
        count: Centres ``K``.
        dim: Width ``D``.

    Attributes:
        centres: As k-means leaves them.

    Shapes:
        centres: ``(K, D)``.

    Raises:
        InputError: Fewer than one centre.
    """

    centres: Tensor

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        if count < 1:
            raise InputError(f"there must be at least 1 intent; got {count}")
        self.register_buffer("centres", torch.zeros(count, dim))

    @property
    def count(self) -> int:
        """Number of centres."""
        return len(self.centres)

    def find(self, states: Tensor, *, seed: int) -> None:
        """Takes the centres of some states; the same seed and states give the same bits on a CPU.

        Shapes:
            states: ``(N, D)``, ``N >= K``.

        Raises:
            InputError: Fewer states than centres, or values that are not finite.
        """
        self.centres.copy_(k_means(states.detach(), self.count, seed=seed))

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """The number of the nearest centre, and that centre in unit length; no gradient comes back. ``O(B K D)``.

        Shapes:
            states: ``(B, D)``; returns: ``(B,)`` and ``(B, D)``.
        """
        states = states.detach().to(self.centres.dtype)
        nearest, _ = _nearest(states, self.centres)
        return nearest, F.normalize(self.centres, dim=1).index_select(0, nearest)


@torch.no_grad()
def k_means(rows: Tensor, count: int, *, seed: int, steps: int = STEPS) -> Tensor:
    """Centres by Lloyd's algorithm from a start that spreads out (k-means++), of 256 rows a centre at most.

    A centre that loses all its rows goes to the row that is farthest from its own; of equal distances the first counts. Time
    ``O(K^2 D)`` times 256 a step, memory ``O(N + K D)``; it does not grow with ``N``.
    Lloyd, 1982; Arthur and Vassilvitskii, 2007. Differs from the k-means that is usually called here (faiss) in the start,
    which is random there and tried several times.

    Args:
        rows: Points.
        count: Centres ``K``.
        seed: Of sample and start.
        steps: At most; it ends where no row changes sides.

    Shapes:
        rows: ``(N, D)``; returns: ``(K, D)``.

    Raises:
        InputError: More centres than points, fewer than one, or values that are not finite.
    """
    if not 1 <= count <= len(rows):
        raise InputError(f"the number of centres must lie in 1 .. {len(rows)}, the number of rows; got {count}")
    if not bool(torch.isfinite(rows).all()):
        raise InputError("the states have values that are not finite, so they have no centres: training diverged")
    generator = torch.Generator().manual_seed(seed)
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    if len(rows) > EACH * count:
        drawn = torch.randperm(len(rows), generator=generator)[: EACH * count].sort().values
        rows = rows.index_select(0, drawn.to(rows.device))
    centres = _spread_out(rows, count, generator)
    before = None
    for _ in range(steps):
        own, distance = _nearest(rows, centres)
        if before is not None and torch.equal(own, before):
            break
        before = own
        sizes = torch.bincount(own, minlength=count)
        centres = segment_sum(rows, own, count) / sizes.clamp(min=1)[:, None]
        empty = (sizes == 0).nonzero().squeeze(1)
        if len(empty):
            far = distance.sort(descending=True, stable=True).indices[: len(empty)]
            centres = centres.index_copy(0, empty, rows.index_select(0, far))
    return centres


def _spread_out(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows to begin with, each drawn with a chance that grows with the square of its distance from those before it."""
    chosen = torch.randint(len(rows), (1,), generator=generator)
    at = [int(chosen)]
    norms = rows.square().sum(1)
    least = torch.full_like(norms, torch.inf)
    for draw in torch.rand(count - 1, generator=generator, dtype=torch.float64).tolist():
        last = rows[at[-1]]
        least = torch.minimum(least, (norms - 2 * (rows @ last) + last.square().sum()).clamp(min=0))
        mass = least.double().cpu().cumsum(0)  # which has one order of adding up on a CPU alone
        at.append(min(int(torch.searchsorted(mass, draw * float(mass[-1]), right=True)), len(rows) - 1))
    return rows.index_select(0, torch.tensor(at, device=rows.device))


def _nearest(rows: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest centre of each row, the first of equal ones, and the square of its distance.

    Shapes:
        rows: ``(N, D)``; centres: ``(K, D)``; returns: ``(N,)`` and ``(N,)``.
    """
    norms = centres.square().sum(1)
    parts = [torch.addmm(norms, part, centres.T, alpha=-2).min(1) for part in torch.split(rows, max(1, _CELLS // len(centres)))]
    own = torch.cat([part.indices for part in parts])
    return own, torch.cat([part.values for part in parts]) + rows.square().sum(1)
