"""An auto-encoder of node features, and the training that clustering systems start from."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import WeakTensorCache, feature_product

_dense: WeakTensorCache[Tensor] = WeakTensorCache()
_trained: WeakTensorCache[tuple[dict[str, Tensor], float]] = WeakTensorCache()


class AutoEncoder(nn.Module):
    """Perceptron ``F - H - H - 4 H - D`` and its mirror image, ReLU between layers and none at either end.

    Sparse features stay sparse through the first layer. Without ``decoder`` only the encoder is kept, half of the parameters,
    and ``pretrain`` makes a mirror image for the time that it needs one. Initial weights and the order of batches follow from
    torch's generator at construction, of which both kinds draw the same numbers: systems that make their auto-encoder first
    share its pre-training for one seed.

    Xie, Girshick and Farhadi, 2016, https://arxiv.org/abs/1511.06335, in the sizes of SDCN (Bo et al., 2020,
    https://arxiv.org/abs/2002.01633): ``H = 500``, ``D = 10``. Differs: trained as a whole, not layer by layer, as in SDCN.

    Args:
        in_features: Width ``F`` of the features.
        width: Width ``D`` of the embedding.
        hidden: Width ``H`` of the first hidden layers.
        decoder: Whether the decoder is kept.

    Shapes:
        forward: ``(N, F)`` dense or CSR to ``(N, D)``; states: to the hidden layers and the embedding; decode: ``(N, D)`` to
            ``(N, F)``.

    Raises:
        InputError: A width below 1, or features of another width.
    """

    def __init__(self, in_features: int, width: int = 10, *, hidden: int = 500, decoder: bool = True) -> None:
        super().__init__()
        for name, value in (("in_features", in_features), ("width", width), ("hidden", hidden)):
            if value < 1:
                raise InputError(f"{name} must be >= 1; got {value}")
        self.widths = (in_features, hidden, hidden, 4 * hidden, width)
        self.encoder = _layers(self.widths)
        self.seed: Tensor
        self.register_buffer("seed", torch.randint(2**31 - 1, ()))
        self.decoder = self._mirror() if decoder else None

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings of all rows."""
        return self.states(x)[-1]

    def states(self, x: Tensor) -> list[Tensor]:
        """The hidden layers, after their ReLU, and the embedding."""
        if x.ndim != 2 or x.shape[1] != self.widths[0]:
            raise InputError(f"this encoder was made for {self.widths[0]} features a node; got x of shape {tuple(x.shape)}")
        first, *hidden, last = self.encoder
        weight, bias = first.get_parameter("weight"), first.get_parameter("bias")
        states = [torch.relu(feature_product(x, weight.T) + bias)]
        for layer in hidden:
            states.append(torch.relu(layer(states[-1])))
        return [*states, last(states[-1])]

    def decode(self, z: Tensor) -> Tensor:
        """Features as they are read back from embeddings."""
        if self.decoder is None:
            raise InputError("this auto-encoder was made without a decoder; make it with decoder=True")
        return _through(self.decoder, z)

    def reconstruction(self, x: Tensor, z: Tensor) -> Tensor:
        """Mean squared error of the features that are read back; CSR features are made dense once."""
        return F.mse_loss(self.decode(z), dense_features(x))

    def pretrain(self, x: Tensor, *, epochs: int = 30, batch: int = 256, lr: float = 1e-3) -> float:
        """Learns to read features back, by Adam on random batches; returns the seconds that this took.

        The result is remembered as long as the very tensor ``x`` lives, for the same weights, seed and settings: pre-training
        is paid once where several systems are compared in one program, and the seconds returned are those that it took then.
        Nothing is written to disk. No number is drawn from torch's own generator. Time ``O(epochs N P)`` for ``P`` parameters,
        ``F H`` and ``9 H H`` most of them, twice; memory that of dense features, of the parameters four times and of a batch.

        Args:
            x: Features.
            epochs: Passes over the rows, ``>= 0``.
            batch: Rows of a step, ``>= 1``; the last may have fewer.
            lr: Learning rate.

        Shapes:
            x: ``(N, F)`` dense or CSR.

        Raises:
            InputError: A setting out of range, features of another width, or a training that diverged.
        """
        if epochs < 0 or batch < 1:
            raise InputError(f"pre-training needs epochs >= 0 and a batch >= 1; got {epochs} and {batch}")
        decoder = self.decoder if self.decoder is not None else self._mirror()
        pair = nn.ModuleList([self.encoder, decoder])
        key = (_fingerprint(pair), int(self.seed), epochs, batch, lr)

        def build() -> tuple[dict[str, Tensor], float]:
            began = time.perf_counter()
            self._train(pair, dense_features(x), epochs, batch, lr)
            seconds = time.perf_counter() - began
            return {name: value.detach().clone() for name, value in pair.state_dict().items()}, seconds

        weights, seconds = _trained.get((x,), key, build)
        pair.load_state_dict(weights)
        return seconds

    def _train(self, pair: nn.ModuleList, x: Tensor, epochs: int, batch: int, lr: float) -> None:
        optimizer = torch.optim.Adam(pair.parameters(), lr=lr)
        generator = torch.Generator().manual_seed(int(self.seed))
        with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
            for _ in range(epochs):
                order = torch.randperm(len(x), generator=generator).to(x.device)
                for start in range(0, len(x), batch):
                    some = x.index_select(0, order[start : start + batch])
                    loss = F.mse_loss(_through(pair[1], _through(pair[0], some)), some)
                    optimizer.zero_grad(set_to_none=True)
                    torch.autograd.backward(loss)
                    optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if not all(bool(value.isfinite().all()) for value in pair.parameters()):
            raise InputError("pre-training diverged: check the features for extreme values, or scale them to 0 .. 1")

    def _mirror(self) -> nn.ModuleList:
        """A fresh decoder, drawn from the seed alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(self.seed))
            return _layers(self.widths[::-1]).to(self.seed.device)


def dense_features(x: Tensor) -> Tensor:
    """Features as a dense array, made once for a CSR tensor.

    Shapes:
        x: ``(N, F)`` dense or CSR; returns: ``(N, F)``.
    """
    return x if x.layout == torch.strided else _dense.get((x,), None, x.to_dense)


def _layers(widths: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))


def _through(layers: nn.Module, x: Tensor) -> Tensor:
    *hidden, last = layers.children()
    for layer in hidden:
        x = torch.relu(layer(x))
    out: Tensor = last(x)
    return out


def _fingerprint(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for value in module.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
