"""Weighted least squares with non-negative coefficients, each drawn towards a prior."""

from collections.abc import Sequence
from typing import NamedTuple


class Prior(NamedTuple):
    """Value a coefficient has without data, and how much weight that belief has."""

    value: float = 0
    weight: float = 1e-6


def solve(
    rows: Sequence[Sequence[float]], targets: Sequence[float], weights: Sequence[float], priors: Sequence[Prior]
) -> list[float]:
    """Minimise the weighted squared error by coordinate descent on the normal equations."""
    size = len(priors)
    matrix, right = _normal(rows, targets, weights, size)
    for i, prior in enumerate(priors):
        matrix[i][i] += prior.weight
        right[i] += prior.weight * prior.value
    found = [prior.value for prior in priors]
    for _ in range(3_000):
        moved = 0.0
        for i in range(size):
            rest = sum(matrix[i][j] * found[j] for j in range(size)) - matrix[i][i] * found[i]
            value = max(0.0, (right[i] - rest) / matrix[i][i])
            moved, found[i] = max(moved, abs(value - found[i])), value
        if moved < 1e-8:
            break
    return found


def robust(
    rows: Sequence[Sequence[float]], targets: Sequence[float], scales: Sequence[float], priors: Sequence[Prior]
) -> list[float]:
    """Weigh an item by 1/scale, and less the further it lies from the others."""
    weights = [1 / scale for scale in scales]
    found = [prior.value for prior in priors]
    for _ in range(8):
        found = solve(rows, targets, weights, priors)
        off = [abs(target - dot(found, row)) for row, target in zip(rows, targets, strict=True)]
        weights = [1 / scale / max(1, gap / (2 + 0.1 * scale)) for scale, gap in zip(scales, off, strict=True)]
    return found


def dot(left: Sequence[float], right: Sequence[float]) -> float:
    """Sum of products."""
    return sum(a * b for a, b in zip(left, right, strict=True))


def _normal(
    rows: Sequence[Sequence[float]], targets: Sequence[float], weights: Sequence[float], size: int
) -> tuple[list[list[float]], list[float]]:
    matrix, right = [[0.0] * size for _ in range(size)], [0.0] * size
    for row, target, weight in zip(rows, targets, weights, strict=True):
        used = [(i, value) for i, value in enumerate(row) if value]
        for i, value in used:
            right[i] += weight * value * target
            for j, other in used:
                matrix[i][j] += weight * value * other
    return matrix, right
