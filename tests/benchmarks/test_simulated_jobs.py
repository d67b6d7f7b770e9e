"""The range of an estimate holds, and a pilot narrows it; `simulated_jobs` runs the full thousand."""

from tests.benchmarks.simulated_jobs import outcomes, table


def test_ranges_hold_for_19_jobs_of_20_and_a_pilot_leaves_at_most_a_third() -> None:
    found = [*outcomes(60, seed=11)]
    held = sum(each.held for each in found)
    assert held >= 0.95 * 60, table(found)
    assert sum(each.held_after for each in found) >= 0.9 * 60, table(found)
    assert sum(each.left <= 1 / 3 for each in found) >= 0.9 * 60, table(found)
