"""The pace of a model, on a clock of its own: what it settles at, and what it costs to find that out."""

import heapq
from collections import Counter
from dataclasses import dataclass, field

import pytest

from genai_batch.tools.lanes.live.pace import Pace, Sent

LATENCY_S = 0.1


@dataclass
class Provider:
    """Answers after a while, refuses at once what comes beyond so many calls in a second, and may be down."""

    rate: float = 1e9
    down: tuple[float, float] = (0, 0)
    heard: Counter[int] = field(default_factory=Counter[int])
    fates: Counter[str] = field(default_factory=Counter[str])
    answered_at: list[float] = field(default_factory=list[float])

    def fate(self, now: float) -> tuple[str, float]:
        """What becomes of a call that comes now, and when that is known."""
        self.heard[int(now)] += 1
        if self.down[0] <= now < self.down[1]:
            return "failed", now + 0.001
        if self.heard[int(now)] > self.rate:
            return "refused", now + 0.002
        return "answered", now + LATENCY_S


def play(pace: Pace, provider: Provider, until: float, now: float = 0.0) -> None:
    """Send as much as the pace allows for a while."""
    ends, number = list[tuple[float, int, str, Sent]](), 0
    while now < until:
        wait = pace.delay(now)
        if wait <= 0:
            number += 1
            fate, at = provider.fate(now)
            heapq.heappush(ends, (at, number, fate, pace.left(now)))
            continue
        later = now + max(wait, 1e-6)
        now = min(later, ends[0][0]) if ends else later
        while ends and ends[0][0] <= now:
            _, item, fate, sent = heapq.heappop(ends)
            provider.fates[fate] += 1
            if fate == "answered":
                provider.answered_at.append(now)
                pace.answered(now, sent)
            elif fate == "refused":
                pace.refused(now, sent, 1.0, 1.0)
            else:
                pace.failed(now, sent, item)
    for _, _, _, sent in ends:
        pace.dropped(sent)


def made(most: int) -> Pace:
    pace = Pace()
    pace.admit(most)
    return pace


@pytest.mark.parametrize("rate", [20, 100, 500, 2000])
def test_it_settles_within_a_tenth_of_what_a_provider_allows_and_few_are_refused(rate: int) -> None:
    provider = Provider(rate)
    play(made(512), provider, 120)
    late = [at for at in provider.answered_at if at >= 20]
    assert 0.9 <= len(late) / 100 / rate <= 1
    assert provider.fates["refused"] < 0.03 * provider.fates.total(), provider.fates


def test_it_takes_more_when_the_provider_allows_more_and_less_when_it_allows_less() -> None:
    provider, pace = Provider(100), made(64)
    play(pace, provider, 30)
    for rate, begin, end in ((300, 30, 150), (50, 150, 250)):
        provider.rate = rate
        play(pace, provider, end, begin)
        last = sum(at >= end - 20 for at in provider.answered_at) / 20
        assert 0.85 * rate <= last <= rate, (rate, last)


def test_nothing_refused_is_nothing_held_back_and_all_that_is_allowed_is_in_flight() -> None:
    pace, provider = made(256), Provider()
    play(pace, provider, 10)
    assert len(provider.answered_at) >= 0.95 * 256 / LATENCY_S * 10


def test_one_wave_of_refusals_is_one_pause() -> None:
    pace = made(64)
    sent = [pace.left(0.0) for _ in range(64)]
    for each in sent:
        pace.refused(0.1, each, 1.0, 1.0)
    assert (pace.waves, pace.refusals, pace.delay(0.1)) == (1, 64, 1.0)
    assert 16 <= pace.width <= 64


def test_an_outage_of_thirty_seconds_is_looked_at_with_one_call_at_a_time_and_uses_up_no_deadline() -> None:
    pace, provider = made(64), Provider(down=(5, 35))
    play(pace, provider, 50)
    assert provider.fates["failed"] <= 64 + 20
    assert pace.active(50) <= 50 - 28
    assert len([at for at in provider.answered_at if at > 45]) > 0.9 * 5 * 64 / LATENCY_S
