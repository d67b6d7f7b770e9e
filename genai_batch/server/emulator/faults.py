"""Faults that are armed: kept in the state folder, counted as calls go by, struck when their turn comes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from .catalogue import CALLS, CATALOGUE, COMMON, OUTCOMES, Stage
from .store import Store
from .wire import ApiError, Object, as_list, as_object


@dataclass(frozen=True)
class Armed:
    """A fault and its parameters."""

    name: str
    params: Object


def arm(store: Store, body: Object, source: str = "admin") -> Object:
    """Arm a fault; unknown names and parameters are refused so that a typo does not pass for a test."""
    name = str(body.get("fault"))
    fault = CATALOGUE.get(name)
    if fault is None:
        raise ApiError(400, f"No fault is called {name!r}. GET /emulator/faults lists them all.")
    unknown = set(body) - set(fault.params) - COMMON
    if unknown:
        raise ApiError(400, f"{name} does not take {', '.join(sorted(unknown))}; it takes {', '.join(fault.params)}.")
    params = fault.params | {key: value for key, value in body.items() if key not in ("fault", "times", "after")}
    for call in _calls(params):
        if call not in (*CALLS, "any"):
            raise ApiError(400, f"No call is called {call!r}; there are {', '.join(CALLS)}, any.")
    _check(params)
    times, after = body.get("times", fault.times), body.get("after", 0)
    text = msgspec.json.encode(params).decode()
    sql = "INSERT INTO faults (name, params, times, after, source) VALUES (?, ?, ?, ?, ?) RETURNING id"
    with store.transaction():
        found = store.rows(sql, name, text, times, after, source)
    return {"id": found[0]["id"], "fault": name, "times": times, "after": after} | params


def _check(params: Object) -> None:
    match = as_object(params.get("match"))
    if set(match) - {"key", "prompt", "every", "lines"}:
        raise ApiError(400, "A match has key, prompt, every and lines.")
    if params.get("outcome", "ok") not in OUTCOMES:
        raise ApiError(400, f"No outcome is called {params['outcome']!r}; there are {', '.join(OUTCOMES)}.")
    for pattern in (params.get("key"), params.get("display_name"), match.get("key"), match.get("prompt")):
        try:
            re.compile(str(pattern))
        except re.error as error:
            raise ApiError(400, f"{pattern!r} is not a regular expression: {error}.") from None


def armed(store: Store) -> list[Object]:
    """What is armed, and how often each has been passed and has struck."""
    rows = store.rows("SELECT * FROM faults ORDER BY id")
    return [
        {"id": row["id"], "fault": row["name"], "times": row["times"], "after": row["after"], "passed": row["seen"],
         "struck": row["fired"], "source": row["source"]} | msgspec.json.decode(row["params"])
        for row in rows
    ]  # fmt: skip


def disarm(store: Store, source: str | None = None) -> None:
    """Disarm all faults, or those of one source."""
    store.rows("DELETE FROM faults WHERE ? IS NULL OR source = ?", source, source)


def strike_call(store: Store, kind: str) -> Armed | None:
    """The fault that strikes this call, if any."""
    if not store.row("SELECT 1 FROM faults LIMIT 1"):
        return None
    found = _strike(store, "call", lambda params: bool({kind, "any"} & set(_calls(params))), first=True)
    return found[0] if found else None


def strike_file(store: Store) -> Armed | None:
    """The fault that strikes a new file, if any."""
    found = _strike(store, "file", lambda params: params.get("name") is None, first=True)
    return found[0] if found else None


def strike_job(store: Store, display_name: str) -> list[Armed]:
    """All faults that strike a new job."""

    def meant(params: Object) -> bool:
        return re.search(str(params.get("display_name") or ""), display_name) is not None

    return _strike(store, "job", meant, first=False)


def _strike(store: Store, stage: Stage, meant: Callable[[Object], bool], *, first: bool) -> list[Armed]:
    struck: list[Armed] = []
    with store.transaction():
        for row in store.rows("SELECT * FROM faults ORDER BY id"):
            params = msgspec.json.decode(row["params"])
            spent = row["times"] is not None and row["fired"] >= row["times"]
            if CATALOGUE[row["name"]].stage != stage or spent or not meant(params):
                continue
            fires = row["seen"] >= row["after"]
            store.rows("UPDATE faults SET seen = seen + 1, fired = fired + ? WHERE id = ?", int(fires), row["id"])
            if fires:
                struck.append(Armed(row["name"], params))
                if first:
                    break
    return struck


def _calls(params: Object) -> list[Any]:
    call = params.get("call")
    return as_list(call) or ([call] if call else [])
