"""What an operator may turn: timings, limits, latency."""

from typing import Any, Literal

import msgspec

from .drawn import Drawn
from .store import Store
from .tiers import Flex
from .wire import ApiError, Object

HOURS_48 = 48 * 3600.0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every setting with its default; stored, so that all processes of one state folder agree."""

    queue_s: float = 1.0
    """How long a batch is PENDING."""
    run_s: float = 2.0
    """How long it is RUNNING, whatever its size, unless `rows_per_s` is set."""
    rows_per_s: float | None = None
    cancel_s: float = 0.0
    """From the cancel call to CANCELLED."""
    batch_life_s: float = HOURS_48
    file_life_s: float = HOURS_48
    process_s: float = 0.0
    """How long an uploaded video is PROCESSING before it can be used."""
    latency_s: float = 0.0
    """Of generateContent, in real seconds."""
    requests_per_s: float | None = None
    """Per API key; above it 429 with RetryInfo."""
    tier: Literal[1, 2, 3] | None = 3
    """Chooses the enqueued-token allowance per model; None lifts it."""
    enqueued_tokens: int | dict[str, int] | None = None
    """Overrides the tier: for all models together, or by model."""
    max_active_jobs: int = 100
    max_inline_bytes: int = 20 * 1024 * 1024
    max_file_bytes: int = 2 * 1024**3
    storage_bytes: int = 20 * 1024**3
    list_generated_files: bool = False
    drawn: Drawn = Drawn()
    """Lengths of answers and thinking, and searches, drawn per request; none by default."""
    flex: Flex = Flex()
    """Latency, room and downgrades of the service tiers; none of them by default."""


def read_settings(store: Store) -> Settings:
    """The settings in force."""
    return msgspec.convert(store.document("settings"), Settings)


def change_settings(store: Store, changes: Object) -> Settings:
    """Change some settings; the rest stay."""
    with store.transaction():
        merged: dict[str, Any] = store.document("settings") | changes
        try:
            settings = msgspec.convert(merged, Settings)
        except msgspec.ValidationError as error:
            raise ApiError(400, f"settings: {error}") from None
        store.keep("settings", merged)
    return settings
