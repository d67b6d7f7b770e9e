"""From what a sample of rows cost to what all of them will: pure, so that any pilot can feed it.

Input is projected by ratio to its estimate, output and tool fees by their mean. Every stratum of the sample (`strata`)
counts by its rows. Each interval is for the mean of the rows not yet run, so a sample of all rows has none. Costs lean
to the right and samples are small: the interval is Student's, in logarithms of the mean, and wider where the sample
itself leans (see `_by_mean`).
"""

from collections.abc import Sequence
from math import exp, floor, sqrt
from statistics import fmean, variance
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
    stratum: int = 0
    """Which of `Whole.strata` it was drawn from."""


class Whole(NamedTuple):
    """The job that the sample was drawn from, with the estimate made before."""

    rows: int
    expected_input: float
    most_output: float | None = None
    """Tokens that one row may write at most, thinking included, where all rows are bounded."""
    fee_usd: float = 0
    """Price of one use of the dearest tool that the rows may use; 0 where none is charged."""
    strata: tuple[int, ...] = ()
    """Rows of each stratum that the sample was drawn by; empty where it was drawn from all rows alike."""


class _Part(NamedTuple):
    """A stratum: which rows of the sample are of it, and how many of its rows are not."""

    places: list[int]
    rest: int


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
    most, parts = whole.most_output, _parts(sample, whole)
    return Projection(
        input=_by_ratio(sample, [row.input for row in sample], whole, parts),
        output=_by_mean([row.output + row.thinking for row in sample], parts, most),
        thinking=_by_mean([row.thinking for row in sample], parts, most),
        cost_usd=Triple.independent(
            [
                _by_ratio(sample, [row.input_usd for row in sample], whole, parts),
                _by_mean([row.output_usd for row in sample], parts, most and most * price),
                _fees([row.fees_usd for row in sample], parts, whole.fee_usd),
            ]
        ),
    )


def _parts(sample: Sequence[Measured], whole: Whole) -> list[_Part]:
    """The strata of a sample; one without a row of it counts with the next larger rows, else with the next smaller."""
    if not whole.strata:
        return [_Part([*range(len(sample))], whole.rows - len(sample))]
    parts: list[_Part] = []
    unseen = 0
    for stratum, rows in enumerate(whole.strata):
        places = [place for place, row in enumerate(sample) if row.stratum == stratum]
        if places:
            parts.append(_Part(places, rows - len(places) + unseen))
            unseen = 0
        elif parts:
            parts[-1] = parts[-1]._replace(rest=parts[-1].rest + rows)
        else:
            unseen += rows
    return parts


def _by_ratio(sample: Sequence[Measured], values: Sequence[float], whole: Whole, parts: Sequence[_Part]) -> Triple:
    """Scale the estimate by how far it was off in the sample, as far as that differs from row to row."""
    expected = [row.expected_input for row in sample]
    size = _mean(expected, parts)
    if not size:
        return _by_mean(values, parts, None)
    ratio = _mean(values, parts) / size
    off = [value - ratio * size for value, size in zip(values, expected, strict=True)]
    rest = max(whole.expected_input - sum(expected), 0)
    half = _t(off, parts) * _error(off, parts) / size * rest
    known = sum(values)
    return Triple(max(known, known + ratio * rest - half), known + ratio * rest, known + ratio * rest + half)


def _by_mean(values: Sequence[float], parts: Sequence[_Part], most: float | None) -> Triple:
    """Take the rows not run for rows like those of the sample, up to `most` each.

    The upper end also takes in Johnson's correction for the skew of the sample, since a few long rows, that a sample
    of 20 mostly misses, carry a large part of the sum.
    """
    rest, mean = _rest(parts), _mean(values, parts)
    interval = Triple(mean, mean, mean)
    if mean and rest:
        error, t = _error(values, parts), _t(values, parts)
        reach, lean = t * error / mean, max(_lean(values, parts), 0) * t**2 * error / 3 / mean
        interval = Triple(mean * exp(-reach), mean, mean * exp(reach) + mean * lean).at_most(most)
    if most and rest and min(values) >= _CUT * most:
        interval = interval._replace(low=interval.low * (1 - _RARE / len(values) / 2))
    return interval.times(rest).plus(Triple(*[sum(values)] * 3))


def _fees(values: Sequence[float], parts: Sequence[_Part], fee: float) -> Triple:
    """Fees come in whole uses, few a row: a plain interval, and a sample without any does not prove there are none."""
    known = sum(values)
    if not known:
        return Triple(high=max(_RARE / len(part.places) * part.rest for part in parts) * fee)
    half = _FEES * _t(values, parts) * _error(values, parts) * _rest(parts)
    likely = known + _mean(values, parts) * _rest(parts)
    return Triple(max(known, likely - half), likely, likely + half)


def _rest(parts: Sequence[_Part]) -> int:
    """Rows that were not run."""
    return sum(part.rest for part in parts)


def _mean(values: Sequence[float], parts: Sequence[_Part]) -> float:
    """The mean of the rows not run."""
    means = [part.rest * fmean(values[place] for place in part.places) for part in parts]
    return sum(means) / max(_rest(parts), 1)


def _squares(values: Sequence[float], parts: Sequence[_Part]) -> list[float]:
    """What each stratum adds to the square of the standard error of that mean."""
    return [
        (part.rest / max(_rest(parts), 1)) ** 2
        * _variance(values, part)
        * (1 / len(part.places) + 1 / max(part.rest, 1))
        for part in parts
    ]


def _variance(values: Sequence[float], part: _Part) -> float:
    """How much the rows of a stratum vary; a row alone is taken to vary by as much as it is."""
    if len(part.places) == 1:
        return values[part.places[0]] ** 2
    return variance(values[place] for place in part.places)


def _error(values: Sequence[float], parts: Sequence[_Part]) -> float:
    """Standard error of the mean of the rows not run, as those that were run tell it."""
    return sqrt(sum(_squares(values, parts)))


def _lean(values: Sequence[float], parts: Sequence[_Part]) -> float:
    """Skewness of that mean."""
    third, squares = 0.0, 0.0
    for part in parts:
        weight, count = part.rest / max(_rest(parts), 1) / len(part.places), len(part.places)
        mean = fmean(values[place] for place in part.places)
        third += weight**3 * sum((values[place] - mean) ** 3 for place in part.places)
        squares += weight**2 * _variance(values, part) * count
    return third / squares**1.5 if squares else 0


def _t(values: Sequence[float], parts: Sequence[_Part]) -> float:
    """Student's t, for the degrees of freedom that Satterthwaite gives the error of several strata."""
    squares = _squares(values, parts)
    fourths = sum(square**2 / max(len(part.places) - 1, 1) for square, part in zip(squares, parts, strict=True))
    degrees = max(1, floor(sum(squares) ** 2 / fourths + 1e-9) if fourths else len(values) - len(parts))
    return _T[degrees - 1] if degrees <= len(_T) else 2.33 + 4.0 / degrees
