"""Two fixed filters over the graph, one local and one global: nothing is trained."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels.csr import multiply
from graphcl.recsys.anchors.history import HistoryModel
from graphcl.recsys.graph.bipartite import Bipartite
from graphcl.recsys.graph.low_rank import exact_svd
from graphcl.recsys.ranking.rows import Rows


class GFCF(HistoryModel):
    """Items two hops away, plus what the smoothest directions of the graph make of the history.

    ``S = R (N^T N + alpha D^-1/2 V V^T D^1/2)`` for ``N`` the training block normalised on both sides, ``D`` the users of each
    item and ``V`` the right vectors of the ``rank`` largest singular values of ``N``. Items that training does not know have
    score 0 and say nothing. Scores of different users have different scales.

    Learning is one SVD, exact to float32: a rough one moves recall by as much as models differ. ``B`` histories take time
    ``O(B (E + rank I))`` at most, by way of ``(R N^T) N``: no ``I x I`` array; memory ``O(B (U + I) + rank I)``.

    Shen et al., 2021, https://arxiv.org/abs/2108.07567. Same filter.

    Args:
        alpha: Weight of the global filter, ``>= 0``; 0 leaves the local one alone.
        rank: Of the global filter, ``>= 1``; the smaller side of the data where that is less.
        seed: Of the first vector of the SVD.

    Raises:
        InputError: Values out of range.
    """

    def __init__(self, alpha: float = 0.3, *, rank: int = 256, seed: int = 0) -> None:
        if not 0 <= alpha < np.inf or rank < 1:
            raise InputError(f"alpha must be >= 0 and rank >= 1; got {alpha} and {rank}")
        self.alpha, self.rank, self.seed = alpha, rank, seed

    def learn(self, histories: sp.csr_matrix) -> None:
        """Normalise the block, and find its strongest directions."""
        indptr = np.asarray(histories.indptr, dtype=np.int64)
        graph = Bipartite(Rows(indptr, histories.indices, *histories.shape))
        self.block_ = graph.matrix
        transposed = graph.matrix.pattern.transpose
        values = graph.matrix.transposed_values().numpy()
        self.transposed_ = sp.csr_matrix((values, transposed.col.numpy(), transposed.crow.numpy()), shape=histories.shape[::-1])
        start = torch.Generator().manual_seed(self.seed)
        found = exact_svd(graph.matrix, min(self.rank, *histories.shape), generator=start)
        root = graph.item_degree.sqrt()
        self.singular_ = found.singular
        self.into_ = found.right * torch.where(root > 0, self.alpha / root, 0.0)[:, None]
        self.out_of_ = (found.right * root[:, None]).T.contiguous()

    def scores(self, histories: sp.csr_matrix) -> Tensor:
        """Both filters on histories ``(B, I)``; see the class."""
        # Users with an item in common are few, so the first product is sparse; the second is nearly full.
        common = torch.from_numpy((histories @ self.transposed_).toarray())
        near = multiply(self.block_, common.T.contiguous(), transposed=True).T
        smooth = torch.from_numpy(histories @ self.into_.numpy())
        return torch.addmm(near, smooth, self.out_of_)
