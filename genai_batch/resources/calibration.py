"""What earlier jobs teach about the next estimate for the same model and shape: a correction, and a narrower range."""

from collections.abc import Sequence
from math import exp, log, sqrt
from typing import NamedTuple

from genai_batch.resources.triples import Triple

_DOUBT = 0.5
"""Weight of the belief that estimates are right, in jobs."""
_SCATTER = 0.25
"""How far jobs of one shape are believed to differ from each other, as a share, before any was seen."""
_T = (4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Student's t, two-sided 95 %, for 2 to 10 degrees of freedom."""
_LAST = 2.0


class Past(NamedTuple):
    """One earlier job: what was thought likely and what it came to, both in the same unit and lane."""

    estimated: float
    actual: float


class Correction(NamedTuple):
    """By what to multiply the likely end of the next estimate, and within what it should then lie, at 95 %."""

    factor: float
    low: float
    high: float
    jobs: int

    def applied(self, estimate: Triple) -> Triple:
        """Correct an estimate."""
        return Triple(*(estimate.likely * share for share in (self.low, self.factor, self.high)))


def correction(past: Sequence[Past]) -> Correction | None:
    """Learn from earlier jobs, of which the newest matter no more than the oldest; None without any.

    Ratios are taken in logarithms. The scatter is what was seen, mixed with what is believed as if from one more job,
    so that two jobs that happen to agree do not make a certainty.
    """
    ratios = [log(job.actual / job.estimated) for job in past if job.actual > 0 and job.estimated > 0]
    if not ratios:
        return None
    count, mean = len(ratios), sum(ratios) / len(ratios)
    centre = sum(ratios) / (_DOUBT + count)
    doubt = _DOUBT * count / (_DOUBT + count) * mean**2
    variance = (_SCATTER**2 + sum((each - mean) ** 2 for each in ratios) + doubt) / (1 + count)
    reach = _t(1 + count) * sqrt(variance * (1 + 1 / (_DOUBT + count)))
    return Correction(exp(centre), exp(centre - reach), exp(centre + reach), count)


def corrected(estimate: Triple, past: Sequence[Past]) -> Triple:
    """Correct an estimate by earlier jobs; where they do not narrow it, only its likely end moves."""
    learnt = correction(past)
    if learnt is None:
        return estimate
    found = learnt.applied(estimate)
    if found.width < estimate.width:
        return found
    return Triple(estimate.low, min(max(found.likely, estimate.low), estimate.high), estimate.high)


def _t(degrees: int) -> float:
    return _T[degrees - 2] if degrees - 2 < len(_T) else _LAST + 2.0 / degrees
