"""Virtual time: real time plus an offset, unless an operator freezes, advances or ties it to polls."""

import time
from datetime import datetime

import msgspec

from .store import Store
from .wire import ApiError, Object, timestamp


class Clock(msgspec.Struct, frozen=True):
    """Virtual time was `virtual` when real time was `real`, and has run at `rate` since."""

    virtual: float = 0.0
    real: float = 0.0
    rate: float = 1.0
    frozen: bool = False
    per_poll_s: float = 0.0

    def now(self) -> float:
        """Virtual seconds since 1970."""
        return self.virtual if self.frozen else self.virtual + (time.time() - self.real) * self.rate


class ClockChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What POST /emulator/clock accepts."""

    now: datetime | None = None
    advance_s: float = 0.0
    freeze: bool | None = None
    rate: float | None = None
    per_poll_s: float | None = None


def read_clock(store: Store) -> Clock:
    """The clock all processes of this state folder share."""
    return msgspec.convert(store.document("clock"), Clock)


def now(store: Store) -> float:
    """Virtual seconds since 1970."""
    return read_clock(store).now()


def change_clock(store: Store, body: Object) -> Clock:
    """Set, advance, freeze or tie the clock; time already passed stays passed."""
    try:
        change = msgspec.convert(body, ClockChange)
    except msgspec.ValidationError as error:
        raise ApiError(400, f"clock: {error}") from None
    with store.transaction():
        old = read_clock(store)
        changed = Clock(
            virtual=(change.now.timestamp() if change.now else old.now()) + change.advance_s,
            real=time.time(),
            rate=old.rate if change.rate is None else change.rate,
            frozen=old.frozen if change.freeze is None else change.freeze,
            per_poll_s=old.per_poll_s if change.per_poll_s is None else change.per_poll_s,
        )
        store.keep("clock", msgspec.to_builtins(changed))
    return changed


def poll(store: Store) -> float:
    """A batch was looked at: let time pass if polls drive the clock, and tell the time."""
    clock = read_clock(store)
    return change_clock(store, {"advance_s": clock.per_poll_s}).now() if clock.per_poll_s else clock.now()


def describe_clock(clock: Clock) -> Object:
    """The clock as the admin endpoint shows it."""
    at = clock.now()
    return {
        "now": timestamp(at),
        "epoch_s": at,
        "offset_s": at - time.time(),
        "frozen": clock.frozen,
        "rate": clock.rate,
        "per_poll_s": clock.per_poll_s,
    }
