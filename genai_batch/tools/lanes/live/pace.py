"""How fast the calls of one model may leave: learnt from what succeeds. It is told the time and touches nothing.

As many as `width` calls may be in flight, and where the provider has refused some for coming too fast, at most `rate`
a second leave, evenly. Both grow gently while calls succeed.
"""

import math
import random
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from genai_batch.resources.answers import short

FIRST, FIRST_UNTOLD = 64, 8
"""Calls in flight to begin with, at most; and where nobody has said how many there may be."""
_AT_FIRST = 3
"""More calls in flight after each answer, until one is refused."""
_BURST_S = 0.02
"""How far behind an even pace calls may catch up: timers are no finer."""
_BELOW = 0.95
"""Of what the provider was seen to take, what is asked of it."""
_HOLDS_S = (4.0, 120.0)
"""Seconds before it is asked for more: at first, and at most, where it has refused again and again."""
_GROWTHS = ((1.05, 0.005), (1.5, 0.05), (math.inf, 0.2))
"""Growth of the rate in a second, up to so many times what was last refused."""
_PROBES_S = (1.0, 5.0)
"""Seconds before and between the calls that look whether an outage is over."""
_IN_A_ROW = (3, 20)
"""Failures in a row, of different items, that make an outage, at least and at most: as many as calls are in flight."""
_LOOKS_S = 0.1
"""Seconds from one change of the rate to the next."""
_TOLD_S = 1.5
"""Seconds of a pause that are worth a word."""
_BINS = 50
"""A second is counted in so many parts."""


class Sent(NamedTuple):
    """A call that has left: when, and whether it looks if an outage is over."""

    at: float
    probes: bool = False


class Pace:
    """What one model allows. Times are seconds of a clock that never goes back."""

    def __init__(self) -> None:
        """Nothing is known, and nobody has asked for anything."""
        self.most, self.width, self.rate = 0, 0.0, math.inf
        self.in_flight = self.refusals = self.waves = 0
        self.is_out = False
        self.wakes: set[Callable[[], None]] = set()
        """Who waits for room, to be called when a call has ended."""
        self._calm, self._latency = math.inf, 0.0
        self._left = _Counted()
        self._next = self._paused_until = self._grown_at = self._held_until = self._held = 0.0
        self._refused_at = -math.inf
        self._limit, self._hold = math.inf, _HOLDS_S[0]
        self._in_a_row, self._failing, self._probing, self._probe_s = 0, set[int](), False, _PROBES_S[0]

    def admit(self, most: int | None) -> None:
        """A job has come that wants to have up to `most` calls in flight; None where that was not said."""
        wanted = most or FIRST
        self.most = max(self.most, wanted)
        self.width = max(self.width, min(most or FIRST_UNTOLD, FIRST))

    def delay(self, now: float) -> float:
        """Seconds until a call may leave; infinite where another has to end first."""
        if now < self._paused_until:
            return self._paused_until - now
        if self.is_out:
            return math.inf if self._probing else 0
        if self.in_flight >= int(self.width):
            return math.inf
        return max(0, self._next - now - _BURST_S) if self.rate < math.inf else 0

    def words(self, now: float, reason: str) -> str | None:
        """What slows the calls down, for a person; None where nothing does. `reason` is what came back last."""
        if self.is_out:
            why = f" ({short(reason.rstrip('.'), 160)})" if reason else ""
            looks = "one call at a time looks whether it is back, and nothing is lost."
            return f"Gemini does not answer just now{why}; {looks}"
        if (pause := self._paused_until - now) > _TOLD_S:
            return f"Waiting: Gemini refuses by pace (429), retry in {math.ceil(pause)} s. {short(reason, 160)}"
        if self.rate < math.inf:
            return f"Gemini takes about {float(f'{self.rate:.2g}'):g} calls a second; no more are sent."
        return None

    def active(self, now: float) -> float:
        """A clock that stands still while everybody waits, so that a pause uses up nobody's deadline."""
        return max(now, self._paused_until) - self._held

    def left(self, now: float) -> Sent:
        """A call leaves."""
        self.in_flight += 1
        self._left.add(now, 1)
        if self.rate < math.inf:
            self._next = max(self._next, now) + 1 / self.rate
        self._probing = self._probing or self.is_out
        return Sent(now, self.is_out)

    def answered(self, now: float, sent: Sent) -> None:
        """A call was answered, well or with an error of its own."""
        self._ended(sent)
        self._alive()
        self._latency += 0.1 * (now - sent.at - self._latency)
        self.width = min(self.most, self.width + self._more())
        if self.rate < math.inf:
            self._grow(now)

    def refused(self, now: float, sent: Sent, advice_s: float | None, window_s: float) -> None:
        """A call came too fast. Those that had left before the first of a wave was heard of are one wave with it.

        `advice_s` is how long the provider says to wait, `window_s` the stretch of time in which it counts.
        """
        self._ended(sent)
        self._alive()
        self._left.add(sent.at, -1)
        self.refusals += 1
        if sent.at >= self._refused_at:
            self.waves += 1
            self._refused_at = now
            self._slow_down(now, window_s)
        self._pause(now, now + (window_s if advice_s is None else advice_s))
        self._held_until = max(self._held_until, self._paused_until + self._hold)

    def failed(self, now: float, sent: Sent, item: int) -> None:
        """A call got no answer, or one that blames the provider. Many in a row are an outage: all wait, one looks."""
        self._ended(sent)
        self._in_a_row += 1
        if len(self._failing) < _IN_A_ROW[0]:
            self._failing.add(item)
        if sent.probes:
            self._probe_s = min(_PROBES_S[1], 2 * self._probe_s)
        elif self.is_out or not self._is_everywhere():
            return
        self.is_out = True
        self._pause(now, now + self._probe_s * random.uniform(0.8, 1.2))  # noqa: S311 - jitter

    def full(self, sent: Sent) -> None:
        """A call found no room at its service tier: Gemini is there, but this teaches nothing about the pace."""
        self._ended(sent)
        self._alive()

    def dropped(self, sent: Sent) -> None:
        """A call was given up by us."""
        self._ended(sent)

    def _more(self) -> float:
        """How many more calls may be in flight after an answer."""
        if self._calm == math.inf:
            return _AT_FIRST
        return 1 if self.width < self._calm else 1 / max(1, self.width)

    def _is_everywhere(self) -> bool:
        enough = min(_IN_A_ROW[1], max(_IN_A_ROW[0], self.in_flight))
        return self._in_a_row >= enough and len(self._failing) >= _IN_A_ROW[0]

    def _ended(self, sent: Sent) -> None:
        self.in_flight -= 1
        self._probing = self._probing and not sent.probes

    def _alive(self) -> None:
        if self.is_out:
            self.width = max(1.0, self.width / 4)
        self.is_out, self._in_a_row, self._probe_s = False, 0, _PROBES_S[0]
        self._failing.clear()

    def _pause(self, now: float, until: float) -> None:
        begins = max(now, self._paused_until)
        if until > begins:
            self._held += until - begins
            self._paused_until = until

    def _slow_down(self, now: float, window_s: float) -> None:
        """Ask for a little less than was taken in the last window, but for half of what was asked at least."""
        taken = max(1, self._left.within(now, window_s)) / window_s
        limit = min(self.rate, max(taken, self.rate / 2 if self.rate < math.inf else 0))
        again = abs(limit - self._limit) < 0.1 * limit
        self._hold = min(_HOLDS_S[1], 2 * self._hold) if again else _HOLDS_S[0]
        self._limit, self.rate = limit, _BELOW * limit
        self._next, self._held_until = now, now
        self._calm = self.width = min(self.width, max(self.width / 2, 1 + 1.5 * self.rate * self._latency))

    def _grow(self, now: float) -> None:
        """Ask for a little more, when it has been held long enough and what may be sent is sent."""
        passed, used = now - self._grown_at, self._left.within(now, 1)
        if passed < _LOOKS_S:
            return
        self._grown_at = now
        if now > self._held_until and used > 0.8 * self.rate:
            growth = next(rate for below, rate in _GROWTHS if self.rate <= below * self._limit)
            self.rate *= 1 + growth * min(passed, 1.0)


class _Counted:
    """How many calls left in which part of a second, for the last minute or so."""

    def __init__(self) -> None:
        self._bins: deque[list[int]] = deque(maxlen=64 * _BINS)

    def add(self, at: float, count: int) -> None:
        number = int(at * _BINS)
        if self._bins and number < self._bins[-1][0]:
            for each in reversed(self._bins):
                if each[0] == number:
                    each[1] += count
                    break
        elif self._bins and self._bins[-1][0] == number:
            self._bins[-1][1] += count
        else:
            self._bins.append([number, count])

    def within(self, now: float, seconds: float) -> int:
        first, total = int((now - seconds) * _BINS), 0
        for number, count in reversed(self._bins):
            if number < first:
                break
            total += count
        return total
