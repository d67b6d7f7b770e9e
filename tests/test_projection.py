"""A sample speaks for its job within an interval that holds, and earlier jobs correct the next estimate."""

from random import Random

import pytest

from genai_batch.resources.calibration import Past, corrected, correction
from genai_batch.resources.projection import Measured, Whole, project
from genai_batch.resources.triples import Triple


def rows(dice: Random, count: int, spread: float = 0.6) -> list[Measured]:
    """Rows whose answers vary as a log-normal does, and whose input is 10 % more than expected."""
    made: list[Measured] = []
    for _ in range(count):
        size, output, thinking = dice.randint(50, 500), dice.lognormvariate(6, spread), dice.lognormvariate(5, spread)
        usd = (round(output) + round(thinking)) * 1e-6
        made.append(Measured(size, round(size * 1.1), round(output), round(thinking), size * 1.1e-7, usd))
    return made


def whole(job: list[Measured], most_output: float | None = None, fee_usd: float = 0) -> Whole:
    return Whole(len(job), sum(row.expected_input for row in job), most_output, fee_usd)


@pytest.mark.parametrize("spread", [0.3, 0.6, 0.9])
def test_the_interval_holds_for_19_jobs_of_20(spread: float) -> None:
    dice, held = Random(1), 0
    for _ in range(400):
        job = rows(dice, 150, spread)
        found = project(dice.sample(job, 20), whole(job))
        held += found.cost_usd.low <= sum(row.input_usd + row.output_usd for row in job) <= found.cost_usd.high
    assert held >= 380


def test_a_larger_sample_narrows_the_interval_and_all_rows_leave_none() -> None:
    job = rows(Random(2), 200)
    few, many, all_ = (project(job[:count], whole(job)) for count in (20, 100, 200))
    assert few.output.width > 2 * many.output.width > 0
    assert all_.output.width == 0
    assert all_.output.likely == sum(row.output + row.thinking for row in job)
    assert all_.cost_usd.width == pytest.approx(0)


def test_input_is_corrected_by_how_far_the_count_was_off() -> None:
    job = rows(Random(3), 200)
    found = project(job[:20], whole(job)).input
    assert found.likely == pytest.approx(sum(row.input for row in job), rel=0.01)
    assert found.width < 0.01 * found.likely


def test_no_answer_is_projected_beyond_its_bound() -> None:
    job = [Measured(10, 10, 100, 0, 1e-6, 1e-4), Measured(10, 10, 1, 0, 1e-6, 1e-6)] * 50
    assert project(job[:20], whole(job, most_output=100)).output.high <= 100 * 100


def test_where_all_of_a_sample_were_cut_the_rest_may_be_shorter() -> None:
    job = [Measured(10, 10, 100, 0, 1e-6, 1e-4)] * 100
    found = project(job[:20], whole(job, most_output=100)).output
    assert found.low < found.likely == found.high == 10_000


def test_a_fee_not_seen_in_the_sample_is_not_ruled_out() -> None:
    job = rows(Random(4), 200)
    free, charged = project(job[:20], whole(job)), project(job[:20], whole(job, fee_usd=0.014))
    assert charged.cost_usd.high > free.cost_usd.high + 0.2
    searched = [row._replace(fees_usd=0.014) for row in job]
    assert project(searched[:20], whole(job, fee_usd=0.014)).cost_usd.likely > free.cost_usd.likely + 2.7


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_sample_too_small_or_too_large_is_refused(count: int) -> None:
    job = rows(Random(5), 5)
    with pytest.raises(ValueError, match="cannot speak"):
        project(job[:count], Whole(4, 100))


def test_without_earlier_jobs_an_estimate_stands() -> None:
    assert correction([]) is None
    assert corrected(Triple(1, 2, 9), []) == Triple(1, 2, 9)
    assert corrected(Triple(1, 2, 9), [Past(1, 0)]) == Triple(1, 2, 9)


def test_earlier_jobs_move_and_narrow_the_estimate_the_more_the_more_there_are() -> None:
    estimate = Triple(1, 10, 60)
    past = [Past(10, actual) for actual in (20, 21, 19, 22, 18) * 2]
    one, two, four, ten = (corrected(estimate, past[:count]) for count in (1, 2, 4, 10))
    assert estimate.width == one.width > two.width > four.width > ten.width
    assert 13 < one.likely < two.likely < four.likely < ten.likely < 20
    assert ten.low < 20 < ten.high


def test_the_corrected_range_holds_for_19_jobs_of_20() -> None:
    dice, held = Random(6), 0
    for _ in range(400):
        bias = dice.uniform(0.3, 3)
        past = [Past(1, bias * dice.lognormvariate(0, 0.2)) for _ in range(5)]
        found = corrected(Triple(0.01, 1, 100), past)
        held += found.low <= bias * dice.lognormvariate(0, 0.2) <= found.high
    assert held >= 380
