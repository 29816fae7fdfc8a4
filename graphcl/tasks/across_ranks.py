"""Training on a graph by several ranks: all do the same step on the same random numbers, and share the expensive parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels.ranks import Ranks, all_rows
from graphcl.losses import PairLoss
from graphcl.models.clustering.cluster_contrast import ClusterContrast
from graphcl.models.encoders import PropagatedMLP
from graphcl.negatives import Exact, Negatives
from graphcl.negatives.across_ranks import SplitExact


def shared_work(system: nn.Module, ranks: Ranks) -> Callable[[ExitStack], None]:
    """What a step of a system can share out, as `graphcl.training.distributed_steps.RankSteps` takes it.

    Two things: exact contrast of all pairs, whose anchors are parted, ``O(N N D / P)`` a rank; and perceptrons on propagated
    features, whose rows are, time and memory of the hidden layer ``1 / P`` each. All else, graph convolutions among it, is done
    by every rank alike. The loss, and on average its gradients, are those of one process up to rounding.

    Args:
        system: Looked through once.
        ranks: All of them.

    Raises:
        InputError: There is nothing to share, so that more ranks would only do the same work over again.
    """
    contrasts = [m for m in system.modules() if isinstance(m, PairLoss) and type(m.negatives) is Exact]
    encoders = [m for m in system.modules() if isinstance(m, PropagatedMLP)]
    clusters = [part for part in vars(system).values() if isinstance(part, ClusterContrast)]
    if not contrasts and not encoders:
        raise InputError(
            f"a step of {type(system).__name__} with these settings has no part that ranks could share, neither exact contrast "
            "of all pairs nor a perceptron on propagated features: train it by one process"
        )

    def enter(stack: ExitStack) -> None:
        for contrast in contrasts:
            stack.enter_context(_split(contrast, ranks))
        for encoder in encoders:
            stack.enter_context(_by_rows(encoder, ranks))
        for part in clusters:
            stack.enter_context(_split_everyone(part, ranks))

    return enter


@contextmanager
def _split(contrast: PairLoss, ranks: Ranks) -> Iterator[None]:
    exact = contrast.negatives
    assert isinstance(exact, Exact)
    contrast.negatives = SplitExact(ranks, bf16=exact.bf16)
    try:
        yield
    finally:
        contrast.negatives = exact


@contextmanager
def _split_everyone(contrast: ClusterContrast, ranks: Ranks) -> Iterator[None]:
    """The exact contrast of a warm-up, which has no module of its own."""
    whole = contrast._estimator

    def split(clusters: Tensor | None) -> Negatives:
        found = whole(clusters)
        return SplitExact(ranks) if type(found) is Exact else found

    with _in_place_of(contrast, "_estimator", split):
        yield


@contextmanager
def _by_rows(encoder: PropagatedMLP, ranks: Ranks) -> Iterator[None]:
    """Each rank embeds its rows, and gets those of the others; sparse features are embedded whole by everybody."""
    whole = encoder.perceptron

    def perceptron(rows: Tensor) -> Tensor:
        if len(rows) < ranks.size:
            return whole(rows)
        return all_rows(whole(rows.narrow(0, *ranks.share(len(rows)))), ranks)

    with _in_place_of(encoder, "perceptron", perceptron):
        yield


@contextmanager
def _in_place_of(owner: Any, name: str, method: Callable[..., Any]) -> Iterator[None]:
    """A method of one object is another for the time of the block."""
    vars(owner)[name] = method
    try:
        yield
    finally:
        del vars(owner)[name]
