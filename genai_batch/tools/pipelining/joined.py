"""Work that one process does once at a time: whoever wants the same joins it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Self


class Joined:
    """Work by name. It goes on when those who wait for it stop waiting, until this is closed."""

    def __init__(self) -> None:
        """Start with none."""
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def join(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do the work, or wait for that of this name that is under way."""
        await asyncio.shield(self._tasks.get(name) or self._begin(name, work()))

    async def alone(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do the work once what is under way has ended."""
        while task := self._tasks.get(name):
            await asyncio.wait([task])
        await asyncio.shield(self._begin(name, work()))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (tasks := list(self._tasks.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._tasks[name] = asyncio.create_task(work)
        task.add_done_callback(lambda done: self._ended(name, done))
        return task

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        """Forget the work; its failure is told to those who wait, and to nobody otherwise."""
        del self._tasks[name]
        if not task.cancelled():
            task.exception()
