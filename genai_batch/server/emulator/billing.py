"""What each client would have been billed for: the rows of jobs that succeeded, and live calls."""

import heapq
from array import array
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from . import clock
from .batches import Batch, batch_of, input_path
from .progress import SUCCEEDED
from .results import finished
from .store import Store
from .wire import Object

TOKENS = ("input_tokens", "output_tokens", "thought_tokens")


def bills(store: Store) -> Object:
    """A bill per key fingerprint."""
    at = clock.now(store)
    owners = store.rows("SELECT owner FROM batches UNION SELECT owner FROM live_calls ORDER BY owner")
    return {str(row["owner"]): _bill(store, str(row["owner"]), at) for row in owners}


def charges(store: Store) -> list[Object]:
    """What live calls were charged for, one entry for all calls of the same usage."""
    rows = store.rows("SELECT * FROM charges ORDER BY owner, model, usage, searches")
    return [dict(row) | {"usage": msgspec.json.decode(row["usage"])} for row in rows]


def _bill(store: Store, owner: str, at: float) -> Object:
    batches = [batch_of(row) for row in store.rows("SELECT * FROM batches WHERE owner = ? ORDER BY seq", owner)]
    billed = [batch for batch in batches if batch.at(at).state == SUCCEEDED]
    used = [finished(store, batch)[1] for batch in billed]
    live = [dict(row) for row in store.rows("SELECT * FROM live_calls WHERE owner = ? ORDER BY model, tier", owner)]
    bill: Object = {
        "batches": [_line(batch, at) for batch in batches],
        "rows_billed": sum(int(one["rows"]) for one in used),
        "rows_billed_more_than_once": _repeated(store, billed),
        "rows_accepted_more_than_once": _repeated(store, batches),
        "live_calls": sum(int(one["calls"]) for one in live),
        "live_tiers": _by_tier(live),
        "live_requests": _requests(store, owner),
    }
    return bill | {name: _total(name, used) + _total(name, live) for name in TOKENS}


def _by_tier(live: list[Object]) -> Object:
    """Calls and tokens by the service tier at which they are billed."""
    tiers: Object = {}
    for row in live:
        total = tiers.setdefault(str(row["tier"]), dict.fromkeys(("calls", *TOKENS), 0))
        for name in total:
            total[name] += int(row[name])
    return tiers


def _requests(store: Store, owner: str) -> Object:
    """How many requests were asked for in live calls, in how many calls, and how many were answered more than once."""
    sql = "SELECT count(*), total(asked), total(served > 1) FROM asked WHERE owner = ?"
    count, calls, again = store.rows(sql, owner)[0]
    return {"count": count, "calls": int(calls), "served_more_than_once": int(again)}


def _line(batch: Batch, at: float) -> Object:
    return {
        "name": batch.name, "display_name": batch.display_name, "model": batch.model, "requests": batch.requests,
        "state": batch.at(at).state, "deleted": batch.deleted,
    }  # fmt: skip


def _total(name: str, bills: list[Object]) -> int:
    return sum(int(bill[name]) for bill in bills)


def _repeated(store: Store, batches: list[Batch]) -> int:
    """Rows with one key and request in more than one job: a merge of sorted files, so memory stays flat."""
    streams = [
        _prints(input_path(store, batch.id).with_suffix(".prints"), index) for index, batch in enumerate(batches)
    ]
    repeated = 0
    for _, group in groupby(heapq.merge(*streams), key=lambda pair: pair[0]):
        repeated += len({index for _, index in group}) > 1
    return repeated


def _prints(path: Path, index: int) -> Iterator[tuple[int, int]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        while block := file.read(65536):
            values: array[Any] = array("Q", block)
            for value in values:
                yield value, index
