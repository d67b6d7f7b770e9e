"""What the environment decides: who answers, where things are kept, what may be read, what may be spent."""

import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import time

from genai_batch.resources import redaction
from genai_batch.resources.errors import BatchError
from genai_batch.resources.jobs import Backend
from genai_batch.resources.ledger import Ledger
from genai_batch.resources.opened import OpenResults
from genai_batch.resources.requests import Cut
from genai_batch.server.connection_checks import KEYS, connection_problem, key_in
from genai_batch.tools.lanes.batch import BatchLane
from genai_batch.tools.lanes.both import Lanes
from genai_batch.tools.lanes.gemini import connect
from genai_batch.tools.lanes.live.lane import LiveLane
from genai_batch.tools.lanes.live.runner import LIMITS, Limits
from genai_batch.tools.lanes.means import Pace
from genai_batch.tools.workspace import Workspace

OFFLINE_KEY = "offline"
OFFLINE_PACE = Pace(fresh=0.25, least=0.25, most=1)
"""The embedded emulator is in this process, so asking it costs nothing."""


@dataclass(frozen=True)
class Settings:
    """Settings of one process. `roots` None means any path, which is for a person at the command line.

    `problem` says what makes every call to Gemini impossible, in a server, which starts all the same to tell it.
    """

    backend: Backend
    api_key: str = field(repr=False)
    home: Path
    roots: tuple[Path, ...] | None
    max_cost_usd: float = 5.0
    pace: Pace | None = None
    tier: int = 1
    cut: Cut | None = None
    max_cost_usd_per_day: float | None = None
    live: Limits = LIMITS
    problem: str | None = None

    @classmethod
    def read(cls, env: Mapping[str, str] = os.environ, *, person: bool = False, serving: bool = False) -> "Settings":
        """Read the environment; `person` lifts the limit on paths.

        A key, an address, certificates or a proxy with which no call can succeed are refused; for a server, `serving`,
        they become its `problem`, since its host would show nobody why it does not start.

        Raises:
            BatchError: a setting makes no sense; the message names it.
        """
        for each in KEYS:
            redaction.protect(env.get(each, ""))
        name, key = key_in(env)
        backend = _backend(env.get("GENAI_BATCH_BACKEND") or ("gemini" if name else "emulator"), name)
        problem = connection_problem(env) if backend == "gemini" else None
        if problem and not serving:
            raise BatchError(problem)
        folders = env.get("GENAI_BATCH_ROOTS") or str(Path.cwd())
        roots = tuple(Path(folder).expanduser().resolve() for folder in folders.split(os.pathsep) if folder)
        return cls(
            backend=backend,
            api_key=key if backend == "gemini" else OFFLINE_KEY,
            home=_home(env),
            roots=None if person else roots,
            max_cost_usd=_dollars("GENAI_BATCH_MAX_COST_USD", env, "5") or 0,
            tier=_tier(env.get("GENAI_BATCH_TIER") or "1"),
            max_cost_usd_per_day=_dollars("GENAI_BATCH_MAX_COST_USD_PER_DAY", env),
            problem=problem,
        )


@asynccontextmanager
async def open_workspace(settings: Settings, now: Callable[[], float] = time) -> AsyncGenerator[Workspace]:
    """Open the ledger and the connection, and close both at the end."""
    offline = settings.backend == "emulator"
    ledger, opened = Ledger(settings.home), OpenResults(settings.home)
    try:
        async with connect(settings.api_key, _emulator(settings.home) if offline else None) as gemini:
            pace = settings.pace or (OFFLINE_PACE if offline else Pace())
            batch = BatchLane(ledger, gemini, settings.backend, now, pace, settings.max_cost_usd_per_day)
            live = LiveLane(batch.means, settings.backend, settings.live, settings.max_cost_usd_per_day)
            lane = Lanes(batch, live)
            try:
                limits = (settings.max_cost_usd, now, settings.tier, settings.cut, settings.max_cost_usd_per_day)
                workspace = Workspace(ledger, lane, opened, settings.backend, settings.roots, *limits)
                async with workspace.at:
                    yield workspace
            finally:
                await lane.close()
    finally:
        opened.close()
        ledger.close()


def _emulator(home: Path) -> Callable[[], object]:
    def build() -> object:
        from genai_batch.server.emulator import create_app  # only an offline process needs it

        return create_app(home / "emulator")

    return build


def _backend(name: str, key: str) -> Backend:
    if name == "emulator":
        return "emulator"
    if name != "gemini":
        raise BatchError(f"GENAI_BATCH_BACKEND is {name[:40]!r}; it can be gemini or emulator.")
    if not key:
        raise BatchError("GENAI_BATCH_BACKEND is gemini, but no key is set. Set GEMINI_API_KEY, or use emulator.")
    return "gemini"


def _home(env: Mapping[str, str]) -> Path:
    if home := env.get("GENAI_BATCH_HOME"):
        return Path(home).expanduser().resolve()
    from platformdirs import user_data_path

    return user_data_path("genai-batch", appauthor=False)


def _tier(text: str) -> int:
    if text not in ("1", "2", "3"):
        raise BatchError(f"GENAI_BATCH_TIER is {text[:40]!r}; it is the usage tier of the key: 1, 2 or 3.")
    return int(text)


def _dollars(name: str, env: Mapping[str, str], default: str = "") -> float | None:
    """An amount, or None where the setting is empty."""
    if not (text := env.get(name) or default):
        return None
    try:
        amount = float(text)
    except ValueError:
        amount = -1
    if not 0 <= amount < float("inf"):
        raise BatchError(f"{name} is {text[:40]!r}; it is an amount of USD, 0 or more.")
    return amount
