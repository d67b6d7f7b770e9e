"""Calls that are safe to repeat are made again at once, a few times; a longer pause is kept in the ledger instead.

A retry here dies with the process, so it stays within seconds: it rides out a hiccup. What lasts is the business of
`Means.put_off`, which a restart honours.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from genai_batch.resources.errors import ProviderError

if TYPE_CHECKING:
    from stamina import AsyncRetryingCaller
    from stamina.instrumentation import RetryDetails

log = logging.getLogger("genai_batch")
ATTEMPTS = 3
PATIENCE_S = 8
"""Seconds from the first call after which nothing is repeated here any more."""
T = TypeVar("T")


async def again(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call that may be repeated, up to `ATTEMPTS` times with jitter; the provider's own advice is kept."""
    return await _caller()(_pause, call)


@cache
def _caller() -> "AsyncRetryingCaller":
    import stamina  # late, as it is needed only once something is sent

    stamina.instrumentation.set_on_retry_hooks([_log])
    return stamina.AsyncRetryingCaller(
        attempts=ATTEMPTS, timeout=PATIENCE_S, wait_initial=0.2, wait_max=2, wait_jitter=0.3
    )


def _log(details: "RetryDetails") -> None:
    log.info("%s It is tried again in %.1f s.", details.caused_by, details.wait_for)


def _pause(error: Exception) -> bool | float:
    """Whether to call again, and after how many seconds where the provider says so."""
    if not isinstance(error, ProviderError) or not error.passing:
        return False
    if error.retry_after_s is None:
        return error.reason != "quota"  # without advice a quota does not pass within seconds
    return error.retry_after_s if error.retry_after_s <= PATIENCE_S / 2 else False
