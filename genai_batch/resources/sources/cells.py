"""A cell as plain JSON: dates as ISO text, whole numbers whole, and nothing that JSON has no word for."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, NamedTuple


class Bad(NamedTuple):
    """What is wrong with a row, and what to do."""

    problem: str
    fix: str


def plain(value: Any) -> Any:
    """Write a cell of any table as JSON knows it."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | Decimal):
        return _number(value)
    if isinstance(value, datetime):
        at_midnight = value.time() == time() and value.tzinfo is None
        return value.date().isoformat() if at_midnight else value.isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]  # pyright: ignore[reportUnknownVariableType] - cells are of any type
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - the same
    return value.total_seconds() if isinstance(value, timedelta) else str(value)


def _number(value: float | Decimal) -> Any:
    if not isfinite(value):
        return None
    return int(value) if value == int(value) and abs(value) < 2**63 else float(value)
