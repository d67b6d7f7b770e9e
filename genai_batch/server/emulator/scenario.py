"""A scenario: settings, clock, faults and row rules in one JSON document."""

from hashlib import sha256
from pathlib import Path

import msgspec

from .clock import change_clock
from .faults import arm, disarm
from .settings import change_settings
from .store import Store
from .wire import ApiError, Object, as_list, as_object, canonical, parse_object

PARTS = {"settings", "clock", "faults", "rows"}


def load_scenario(scenario: Object | Path) -> Object:
    """A scenario from a file, or as given."""
    found = parse_object(scenario.read_bytes()) if isinstance(scenario, Path) else scenario
    unknown = set(found) - PARTS
    if unknown:
        raise ApiError(400, f"A scenario has {', '.join(sorted(PARTS))}, not {', '.join(sorted(unknown))}.")
    return found


def apply_scenario(store: Store, scenario: Object, *, again: bool = False) -> None:
    """Put a scenario in force, once per state folder: a second process that brings the same one changes nothing."""
    digest = sha256(canonical(scenario)).hexdigest()
    with store.transaction():
        if store.document("scenario").get("digest") == digest and not again:
            return
        disarm(store, "scenario")
        change_settings(store, as_object(scenario.get("settings")))
        if scenario.get("clock"):
            change_clock(store, as_object(scenario["clock"]))
        for fault in as_list(scenario.get("faults")):
            arm(store, as_object(fault), "scenario")
        for row in as_list(scenario.get("rows")):
            arm(store, {"fault": "row"} | as_object(row), "scenario")
        store.keep("scenario", {"digest": digest, "body": msgspec.to_builtins(scenario)})
