"""Multinomial logistic regression for a whole grid of strengths, in one pass from strong to weak."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.optimize import minimize

from graphcl.errors import InputError

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64] | sp.csr_matrix

TOLERANCE = 1e-5  # of the largest entry of the scaled gradient of the mean objective
STEPS = 5000


@dataclass(frozen=True, eq=False)
class Logistic:
    """A fitted model: logits are ``x @ weight + bias``.

    Shapes:
        weight: ``(F, K)``; bias: ``(K,)``.
    """

    c: float
    weight: Floats
    bias: Floats

    def logits(self, x: Matrix) -> Floats:
        """Shapes: x: ``(N, F)``; returns: ``(N, K)``."""
        return np.asarray(x @ self.weight) + self.bias


def logistic_path(x: Matrix, y: npt.NDArray[np.int64], classes: int, strengths: Sequence[float]) -> Iterator[Logistic]:
    """The minimiser of ``C sum_i -log softmax(x_i W + b)[y_i] + |W|^2 / 2`` for each ``C``, the intercept free.

    Solved by L-BFGS in float64 to a gradient of 1e-5, each ``C`` started from the one before. The rows are first centred and
    turned to their principal axes, which leaves the objective as it is; with fewer rows than features nothing is lost, for
    the minimiser lies in the span of the rows. In these axes the Hessian is nearly diagonal, and L-BFGS runs in coordinates
    scaled by the root of its diagonal at the starting point, which takes several times fewer steps.

    Time ``O(n F min(n, F))`` once and ``O(n K min(n, F))`` a step; memory ``O(n min(n, F) + F K)``. Sparse rows stay sparse.

    Bit-for-bit repeatable on one thread: call it under ``threadpool_limits(1)``. With two classes the penalty counts both
    columns of ``W``, so that ``C`` is half of that of a model with one column.

    Args:
        x: Rows to learn from, dense or CSR.
        y: Their classes, from 0.
        classes: ``K``.
        strengths: The values of ``C``, ``> 0``; best in increasing order.

    Shapes:
        x: ``(n, F)``; y: ``(n,)``; yields one model a strength, in order.

    Raises:
        InputError: A strength that is not positive.
    """
    if not strengths or not all(c > 0 for c in strengths):
        raise InputError(f"the strengths C must be numbers > 0; got {list(strengths)}")
    mean = np.asarray(x.mean(axis=0)).ravel()
    axes, back = _principal(x, mean)
    n, rank = axes.shape
    design = np.ascontiguousarray(np.concatenate([axes, np.ones((n, 1))], axis=1))
    squared = design * design / n
    rows = np.arange(n)
    theta = np.zeros((rank + 1, classes))
    for c in strengths:
        ridge = np.full((rank + 1, 1), 1 / (c * n))
        ridge[-1] = 0
        chance = _softmax(design @ theta)[0]
        # The diagonal of the Hessian, never 0 however sure the model before was: the intercept has no ridge.
        scale = 1 / np.sqrt(squared.T @ np.maximum(chance * (1 - chance), 1e-6) + ridge)

        def objective(flat: Floats, ridge: Floats = ridge, scale: Floats = scale) -> tuple[float, Floats]:
            at = flat.reshape(rank + 1, classes) * scale
            chance, log_chance = _softmax(design @ at)
            value = -log_chance[rows, y].mean() + 0.5 * float((ridge * at * at).sum())
            chance[rows, y] -= 1
            return value, ((design.T @ chance / n + ridge * at) * scale).ravel()

        found = minimize(
            objective,
            (theta / scale).ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": STEPS, "maxfun": 2 * STEPS, "gtol": TOLERANCE, "ftol": 0.0},
        )
        if float(np.abs(found.jac).max()) > 100 * TOLERANCE:
            warnings.warn(f"logistic regression with C = {c:g} stopped before its tolerance", RuntimeWarning, stacklevel=2)
        theta = found.x.reshape(rank + 1, classes) * scale
        # What all classes have in common changes no probability, is 0 at the minimum, and shrinks too slowly by itself.
        theta -= theta.mean(axis=1, keepdims=True)
        weight = back @ theta[:-1] if isinstance(back, np.ndarray) else _through_rows(back, theta[:-1])
        yield Logistic(float(c), weight, theta[-1] - mean @ weight)


_Back = Floats | tuple[Matrix, Floats]


def _principal(x: Matrix, mean: Floats) -> tuple[Floats, _Back]:
    """Centred rows in principal coordinates ``(n, R)``, and the way back to features."""
    n, width = x.shape
    if isinstance(x, np.ndarray):
        x = x - mean
        gram = x.T @ x if n > width else x @ x.T
        total = float((x * x).sum() + n * mean @ mean)
    else:
        gram = (x.T @ x if n > width else x @ x.T).toarray()
        total = float(x.multiply(x).sum())
        gram -= n * np.outer(mean, mean) if n > width else gram.mean(0) + gram.mean(1)[:, None] - gram.mean()
    squares, vectors = np.linalg.eigh(gram)
    kept = squares > 1e-15 * total  # below lies rounding: a constant embedding has no axis at all
    squares, vectors = squares[kept], vectors[:, kept]
    if n > width:
        axes = np.asarray(x @ vectors) - (0 if isinstance(x, np.ndarray) else mean @ vectors)
        return axes, vectors
    roots = np.sqrt(squares)
    return vectors * roots, (x, vectors / roots)


def _through_rows(back: tuple[Matrix, Floats], theta: Floats) -> Floats:
    # The axes are sums of centred rows with coefficients that add to 0, so plain rows serve as well as centred ones.
    rows, coefficients = back
    return np.asarray(rows.T @ (coefficients @ theta))


def _softmax(logits: Floats) -> tuple[Floats, Floats]:
    """Probabilities and their logarithms."""
    logits = logits - logits.max(axis=1, keepdims=True)
    chance = np.exp(logits)
    total = chance.sum(axis=1, keepdims=True)
    chance /= total
    return chance, logits - np.log(total)
