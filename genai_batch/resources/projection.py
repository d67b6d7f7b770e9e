"""From what a sample of rows cost to what all of them will: pure, so that any pilot can feed it.

Input is projected by ratio to its estimate, output and tool fees by their mean. Each interval is for the mean of the
rows not yet run, so a sample of all rows has none. Costs lean to the right and samples are small: the interval is
Student's, in logarithms of the mean, and wider where the sample itself leans (see `_mean`).
"""

from collections.abc import Sequence
from math import exp, sqrt
from statistics import fmean, stdev
from typing import NamedTuple

from genai_batch.resources.triples import Triple

LEAST = 2
"""Rows from which an interval can be told at all."""
_T = (31.82, 6.96, 4.54, 3.75, 3.36, 3.14, 3.00, 2.90, 2.82, 2.76, 2.72, 2.68, 2.65, 2.62, 2.60, 2.58, 2.57, 2.55, 2.54)
"""Student's t, two-sided 98 %, for 1 to 19 degrees of freedom: of 20 rows that lean, it covers some 95 %."""
_FEES = 0.82
"""What a t for 95 % is of one for 98 %: enough for counts, which do not lean as lengths do."""
_CUT = 0.99
"""Share of the bound from which an answer counts as cut off; where all of a sample are, the rest may be shorter."""
_RARE = 3.0
"""What was not seen in n rows happens in fewer than 3/n of them, at 95 %."""


class Measured(NamedTuple):
    """One row of a sample: what was expected of its input, and what the answer's usage says."""

    expected_input: float
    input: int
    output: int
    thinking: int
    input_usd: float
    output_usd: float
    """Of output and thinking together."""
    fees_usd: float = 0


class Whole(NamedTuple):
    """The job that the sample was drawn from, with the estimate made before."""

    rows: int
    expected_input: float
    most_output: float | None = None
    """Tokens that one row may write at most, thinking included, where all rows are bounded."""
    fee_usd: float = 0
    """Price of one use of the dearest tool that the rows may use; 0 where none is charged."""


class Projection(NamedTuple):
    """The job as the sample makes it look. `output` includes `thinking`."""

    input: Triple
    output: Triple
    thinking: Triple
    cost_usd: Triple


def project(sample: Sequence[Measured], whole: Whole) -> Projection:
    """Project a job from rows drawn from it at random, without those rows being run again.

    Raises:
        ValueError: the sample is too small, or larger than the job.
    """
    if not LEAST <= len(sample) <= whole.rows:
        raise ValueError(f"a sample of {len(sample)} rows cannot speak for {whole.rows}; run at least {LEAST}")
    price = max((row.output_usd / written for row in sample if (written := row.output + row.thinking)), default=0.0)
    most = whole.most_output
    return Projection(
        input=_by_ratio(sample, [row.input for row in sample], whole),
        output=_by_mean([row.output + row.thinking for row in sample], whole, most),
        thinking=_by_mean([row.thinking for row in sample], whole, most),
        cost_usd=Triple.independent(
            [
                _by_ratio(sample, [row.input_usd for row in sample], whole),
                _by_mean([row.output_usd for row in sample], whole, most and most * price),
                _fees([row.fees_usd for row in sample], whole),
            ]
        ),
    )


def _by_ratio(sample: Sequence[Measured], values: Sequence[float], whole: Whole) -> Triple:
    """Scale the estimate by how far it was off in the sample, as far as that differs from row to row."""
    expected = [row.expected_input for row in sample]
    if not sum(expected):
        return _by_mean(values, whole, None)
    ratio = sum(values) / sum(expected)
    off = [value - ratio * size for value, size in zip(values, expected, strict=True)]
    rest = max(whole.expected_input - sum(expected), 0)
    error = _error(off, whole.rows) / fmean(expected) if len(sample) < whole.rows else 0
    known, half = sum(values), _t(len(sample)) * error * rest
    return Triple(max(known, known + ratio * rest - half), known + ratio * rest, known + ratio * rest + half)


def _by_mean(values: Sequence[float], whole: Whole, most: float | None) -> Triple:
    rest = whole.rows - len(values)
    mean = _mean(values, whole.rows).at_most(most)
    if most and rest and min(values) >= _CUT * most:
        mean = mean._replace(low=mean.low * (1 - _RARE / len(values) / 2))
    return mean.times(rest).plus(Triple(*[sum(values)] * 3))


def _fees(values: Sequence[float], whole: Whole) -> Triple:
    """Fees come in whole uses, few a row: a plain interval, and a sample without any does not prove there are none."""
    rest, known = whole.rows - len(values), sum(values)
    if not known:
        return Triple(high=_RARE / len(values) * whole.fee_usd * rest)
    half = _FEES * _t(len(values)) * _error(values, whole.rows) * rest
    likely = known + known / len(values) * rest
    return Triple(max(known, likely - half), likely, likely + half)


def _mean(values: Sequence[float], rows: int) -> Triple:
    """Interval for the mean of the rows not run.

    The upper end also takes in Johnson's correction for the skew of the sample, since a few long rows, that a sample
    of 20 mostly misses, carry a large part of the sum.
    """
    mean, count = fmean(values), len(values)
    if not mean or count == rows:
        return Triple(mean, mean, mean)
    error = _error(values, rows)
    reach = _t(count) * error / mean
    lean = max(_skew(values), 0) * _t(count) ** 2 * error / (3 * sqrt(count)) / mean
    return Triple(mean * exp(-reach), mean, mean * exp(reach) + mean * lean)


def _error(values: Sequence[float], rows: int) -> float:
    """Standard error of the mean of the rows not run, as the mean of those that were run tells it."""
    return stdev(values) * sqrt(1 / len(values) + 1 / max(rows - len(values), 1))


def _skew(values: Sequence[float]) -> float:
    spread, mean, count = stdev(values), fmean(values), len(values)
    return sum((value - mean) ** 3 for value in values) / count / spread**3 if spread else 0


def _t(count: int) -> float:
    return _T[count - 2] if count - 2 < len(_T) else 2.33 + 4.0 / (count - 1)
