"""Work with files of the user, in a thread that keeps neither the event loop nor the end of the process waiting."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from genai_batch.resources.errors import ProviderError

MOST_S = 60
"""Seconds that files may take to answer; those of a mount whose server is gone never do."""
_THREADS = 32
"""Threads at a time, those among them that were left behind."""
_NAME = "genai-batch files"
Result = TypeVar("Result")


async def aside(work: Callable[[], Result], what: str, most_s: float = MOST_S) -> Result:
    """Do something in a thread of its own, which is left behind where it does not come back.

    A pool would not do: its threads are joined when the process ends.

    Raises:
        ProviderError: `what` does not answer now; it may later.
    """
    if sum(thread.name == _NAME for thread in threading.enumerate()) >= _THREADS:
        raise _unheard(what, 0)
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Result] = loop.create_future()

    def run() -> None:
        try:
            tell = partial(ended.set_result, work())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            tell = partial(ended.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(lambda: ended.done() or tell())

    threading.Thread(target=run, name=_NAME, daemon=True).start()
    try:
        async with asyncio.timeout(most_s):
            return await ended
    except TimeoutError as error:
        raise _unheard(what, most_s) from error


def _unheard(what: str, seconds: float) -> ProviderError:
    since = f" for {seconds:g} s" if seconds else ""
    said = f"Nothing was heard of {what}{since}; perhaps a mount is gone. Nothing of that was sent."
    return ProviderError(said, reason="outage")
