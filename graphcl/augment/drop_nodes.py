"""Views without some of the nodes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from graphcl.augment.draws import Probability, check_length, check_probability, draw_kept


class DropNodes(BaseTransform):  # type: ignore[misc]
    """Each node goes with probability ``p``, by itself, and its edges with it; one node always stays.

    The view's ``node_index`` says which nodes of the first graph its rows are, also after several views of views, so that
    rows of two views can be paired. Time ``O(N + E)``. You et al., 2020 (GraphCL), https://arxiv.org/abs/2010.13902, drop a
    fixed share.

    Args:
        p: Probability to go, or one for each node.
        generator: Of the random numbers; torch's own when ``None``.

    Shapes:
        p: scalar or ``(N,)``; called: ``Data`` of ``N`` nodes to ``Data`` of ``N'``, with node_index ``(N',)``, ascending
        where the nodes came so; attributes of nodes and edges are cut alike, x may be dense or CSR.

    Raises:
        InputError: Probabilities outside ``[0, 1]``, or another number of them than nodes.
    """

    def __init__(self, p: Probability, *, generator: torch.Generator | None = None) -> None:
        self.p = check_probability(p)
        self.generator = generator

    def forward(self, data: Data) -> Data:
        """The graph of the nodes that stay, numbered from 0."""
        n, device = data.num_nodes, data.edge_index.device
        check_length(self.p, n, "nodes")
        kept = draw_kept(self.p, n, device, self.generator)
        if n and not bool(kept.any()):
            home = device if self.generator is None else self.generator.device
            kept[int(torch.randint(n, (1,), generator=self.generator, device=home))] = True
        index = data.node_index if "node_index" in data else torch.arange(n, device=device)
        x = data.x
        data.num_nodes = n
        if x is not None and x.layout != torch.strided:
            del data.x  # PyG cannot cut sparse rows
        view = data.subgraph(kept)
        if x is not None and x.layout != torch.strided:
            view.x = _rows(x, kept)
        view.node_index = index.masked_select(kept)
        return view

    def __repr__(self) -> str:
        return f"DropNodes({f'tensor of {len(self.p)}' if isinstance(self.p, Tensor) else f'{self.p:g}'})"


def _rows(x: Tensor, kept: Tensor) -> Tensor:
    """The CSR matrix of the rows that stay."""
    counts = x.crow_indices().diff()
    entries = torch.repeat_interleave(kept, counts)
    left = counts.masked_select(kept)
    crow = torch.cat([left.new_zeros(1), left.cumsum(0)])
    col, values = x.col_indices().masked_select(entries), x.values().masked_select(entries)
    return torch.sparse_csr_tensor(crow, col, values, (len(left), x.size(1)), check_invariants=False)
