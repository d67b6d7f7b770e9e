"""The index of results says the same whatever the order of the rows, and knows when it is not what was written."""

import json
import os
import random
import sqlite3
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_batch.resources.errors import UnknownResult
from genai_batch.resources.jobs import Job
from genai_batch.resources.results import Entry, Results, read_results
from genai_batch.resources.results_index import batches
from genai_batch.resources.results_index.query import Torn
from tests.world import MODEL, request

KEYS = [f"row {n:03}" for n in range(300)]
IO = Path("/proc/self/io")
"""Begins with the bytes that this process has read."""


def answer(key: str, text: str = "Fine.", reason: str = "STOP") -> dict[str, Any]:
    """A row that came back."""
    candidate = {"content": {"parts": [{"text": text}]}, "finishReason": reason}
    usage = {"promptTokenCount": 7, "candidatesTokenCount": len(text)}
    return {"key": key, "response": {"candidates": [candidate], "usageMetadata": usage}}


def failure(key: str, code: int = 13) -> dict[str, Any]:
    """A row that failed."""
    return {"key": key, "error": {"code": code, "message": "No."}}


@dataclass
class Kept:
    """A job as it lies in a home."""

    home: Path
    keys: list[str]

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        lines = (json.dumps({"key": key, "request": request("Hi.")}, ensure_ascii=False) + "\n" for key in self.keys)
        (self.folder / "requests.jsonl").write_text("".join(lines))

    @property
    def folder(self) -> Path:
        return self.home / "jobs" / "job_x"

    def job(self, *attempts: list[dict[str, Any]], adopted: bool = False) -> Job:
        """Write the rows of each attempt, and forget the index."""
        size, begins = 0, list[int]()
        with (self.folder / "results.jsonl").open("wb") as file:
            for rows in attempts:
                begins.append(size)
                size += sum(file.write(json.dumps(row).encode() + b"\n") for row in rows)
        (self.folder / "results.db").unlink(missing_ok=True)
        sent = 0 if adopted else (self.folder / "requests.jsonl").stat().st_size
        return Job(
            id="job_x", name="x", model=MODEL, lane="batch", backend="emulator", account="", digest="",
            requests=len(self.keys), bytes=sent, makes_media=False, created_at=1_795_000_000,
            results_bytes=size, begins=tuple(begins[1:]), attempt=len(attempts) - 1,
        )  # fmt: skip

    def told(self, job: Job) -> Any:
        """All that the index says, but for where the rows lie; asked once it is made, and once it was made again."""
        said = [read_results(self.home, job, _all) for _ in range(2)]
        (self.folder / "results.db").unlink()
        assert said == [read_results(self.home, job, _all)] * 2
        return said[0]


def _all(results: Results) -> Any:
    rows = [(entry._replace(offset=None), results.row(entry)) for entry in results.page(None, 0, 1_000)]
    named = (results.unmatched(), results.repeated, results.repeated_keys)
    return rows, results.counts, results.cost, named


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(tmp_path_factory.mktemp("home"), KEYS)


MIXED = [
    *(answer(key) for key in KEYS[:200]),
    *(answer(key, "Cut", "MAX_TOKENS") for key in KEYS[200:210]),
    *(failure(key, code) for code, key in enumerate(KEYS[210:220])),
    *(answer(key, "Another.") for key in KEYS[:5]),
    *(failure(key) for key in KEYS[5:9]),
    *(answer(f"stranger {n}") for n in range(150)),
    {"response": answer("")["response"]},
    {"key": "x" * 300, "response": answer("")["response"]},
]


@settings(max_examples=20)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_rows_decides_nothing(kept: Kept, chance: random.Random) -> None:
    first = kept.told(kept.job(MIXED))
    rows = list(MIXED)
    chance.shuffle(rows)
    assert kept.told(kept.job(rows)) == first
    _, counts, _, (unmatched, repeated, keys) = first
    assert counts == {"ok": 200, "truncated": 10, "error": 10, "missing": 80}
    assert (unmatched[0], repeated, keys) == (152, 9, KEYS[:9])


@settings(max_examples=300)
@given(
    st.lists(st.integers(0, 40) | st.integers(0, 300), max_size=40),
    st.integers(1, 60),
    st.sampled_from([b"", b"\n"]),
    st.data(),
)
def test_lines_come_once_however_much_is_read_at_once(
    lengths: list[int], size: int, end: bytes, data: st.DataObject
) -> None:
    text = b"".join(b"%d" % (n % 10) * length + b"\n" for n, length in enumerate(lengths))
    text = text[: len(text) - len(end)]
    lines = text.splitlines(keepends=True)
    first, last = sorted(data.draw(st.integers(0, len(lines))) for _ in range(2))
    start, stop = len(b"".join(lines[:first])), len(b"".join(lines[:last]))
    with pytest.MonkeyPatch.context() as patch, tempfile.NamedTemporaryFile() as file:
        for name, value in {"AT_ONCE": size, "_BLOCK": 3 * size, "LONG": 4 * size}.items():
            patch.setattr(batches, name, value)
        file.write(text)
        file.flush()
        found = list[bytes]()
        for offset, some, length in batches.batches(Path(file.name), start, stop):
            assert not some or text.startswith(b"".join(some), offset)
            assert length == len(b"".join(some)) or not some
            found += some or [text[offset : offset + length]]
    assert found == lines[first:last]


def test_rows_longer_than_what_is_read_at_once_are_judged_like_others(tmp_path: Path) -> None:
    kept = Kept(tmp_path, KEYS[:40])
    wide = "é" * 600_000
    rows = [answer(key, wide if n % 3 else "short") for n, key in enumerate(KEYS[:36])]
    picture = {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "A" * 3_000_000}}]}}
    rows.append({"key": KEYS[36], "response": {"candidates": [picture | {"finishReason": "STOP"}]}})
    rows.append({"key": KEYS[37], "error": {"code": 3, "message": "x" * 2_000_000}})
    job = kept.job(rows)
    with Results(kept.home, job) as results:
        assert results.counts == {"ok": 37, "error": 1, "missing": 2}
        assert (results.entry(KEYS[36]).media, results.entry(KEYS[37]).error) == (True, "3")
        assert all(results.row(results.entry(row["key"])) == row for row in rows)


@pytest.mark.skipif(not IO.exists(), reason="only Linux counts what a process reads")
def test_a_long_line_is_read_a_few_times_not_once_for_each_block_of_it(tmp_path: Path) -> None:
    kept = Kept(tmp_path, KEYS[:2])
    job = kept.job([answer(KEYS[0]), answer(KEYS[1], "é" * 1_000_000)])
    before = int(IO.read_text().split()[1])
    with Results(kept.home, job) as results:
        assert results.counts == {"ok": 2}
    assert int(IO.read_text().split()[1]) - before < 4 * job.results_bytes


def entry_of(kept: Kept, job: Job, key: str) -> tuple[Entry, dict[str, Any]]:
    """What stands for a key."""
    with Results(kept.home, job) as results:
        entry = results.entry(key)
        return entry, results.row(entry)


GOOD, OTHER, CUT, BAD = (
    answer("row 000"),
    answer("row 000", "Other."),
    answer("row 000", "Cu", "MAX_TOKENS"),
    failure("row 000"),
)


STANDING: list[tuple[tuple[list[dict[str, Any]], ...], dict[str, Any], int]] = [
    (([GOOD], [OTHER]), OTHER, 2),
    (([OTHER], [GOOD]), GOOD, 2),
    (([GOOD], [BAD]), GOOD, 1),
    (([GOOD], [CUT]), GOOD, 1),
    (([CUT], [BAD]), CUT, 1),
    (([BAD], [BAD], [CUT]), CUT, 3),
    (([BAD], [GOOD], []), GOOD, 2),
    (([BAD, GOOD, CUT],), GOOD, 1),
    (([GOOD, OTHER],), GOOD, 1),
    (([OTHER, GOOD],), GOOD, 1),
]


@pytest.mark.parametrize(("attempts", "stands", "attempt"), STANDING)
def test_the_newest_answer_stands_unless_it_is_worse(
    kept: Kept, attempts: tuple[list[dict[str, Any]], ...], stands: dict[str, Any], attempt: int
) -> None:
    entry, row = entry_of(kept, kept.job(*attempts), "row 000")
    assert (row, entry.attempt) == (stands, attempt)


ANSWERS = (GOOD, OTHER, CUT, BAD)
RANKS = (2, 2, 1, 0)


@settings(max_examples=60)
@given(st.data())
def test_what_stands_is_decided_attempt_by_attempt_wherever_the_rows_lie(kept: Kept, data: st.DataObject) -> None:
    """Each key gets up to two answers in an attempt, and those that are cut are so long that they are read alone."""
    sent = [data.draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=10)) for _ in range(3)]
    stands, repeated = dict[int, tuple[int, int]](), 0
    for attempt, rows in enumerate(sent, 1):
        for key in {key for key, _ in rows}:
            best = max((each for other, each in rows if other == key), key=lambda each: (RANKS[each], -each))
            if key not in stands or RANKS[best] >= RANKS[stands[key][0]]:
                stands[key] = (best, attempt)
        repeated += len(rows) - len({key for key, _ in rows})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "LONG", 188)
        patch.setattr(batches, "_BLOCK", 100)
        job = kept.job(*([ANSWERS[each] | {"key": KEYS[key]} for key, each in rows] for rows in sent))
        with Results(kept.home, job) as results:
            found = {key: results.find(KEYS[key]) for key in range(6)}
            said = {key: (results.row(entry), entry.attempt) for key, entry in found.items() if entry and entry.attempt}
            assert results.repeated == repeated
    assert said == {key: (ANSWERS[each] | {"key": KEYS[key]}, attempt) for key, (each, attempt) in stands.items()}


def test_an_answer_that_is_turned_down_by_a_check_does_not_replace_a_good_one(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ["a", "b", "c"])
    asked = request("Hi.", response_mime_type="application/json")
    lines = (json.dumps({"key": key, "request": asked}) + "\n" for key in kept.keys)
    (kept.folder / "requests.jsonl").write_text("".join(lines))
    job = kept.job([answer("a", "{}"), answer("b", "Other.")], [answer("a", "Other.")])
    with Results(kept.home, job) as results:
        assert results.counts == {"ok": 1, "error": 1, "missing": 1}
        good, turned_down = results.entry("a"), results.entry("b")
        assert (good.attempt, turned_down.error, results.page("error", 0, 5)) == (1, "schema_mismatch", [turned_down])
        assert results.page("missing", 0, 5) == [results.entry("c")]


def test_an_adopted_job_is_known_by_its_rows_in_the_order_of_their_keys(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ["b", "a\nb"])
    (kept.folder / "requests.jsonl").unlink()
    job = kept.job([answer("b"), answer("a\nb"), failure("c")], adopted=True)
    with Results(kept.home, job) as results:
        assert [entry.key for entry in results.page(None, 0, 10)] == ["a\nb", "b", "c"]
        assert (results.counts, results.entry("a\nb").outcome) == ({"ok": 2, "error": 1}, "ok")
        assert results.keys("b", 10) == ["b"], "a part of a key is none"


def test_keys_are_found_by_their_beginnings_and_near_ones_are_named(tmp_path: Path) -> None:
    kept = Kept(tmp_path, [*(f"part/{n}" for n in range(30_000)), "größe", 'a "quoted" key'])
    with Results(kept.home, kept.job([answer("größe")])) as results:
        assert results.keys("part/2999", 5) == ["part/2999", *(f"part/2999{n}" for n in range(4))]
        assert len(results.keys("", 101)) == 101
        assert results.keys("gr", 5) == ["größe"]
        assert json.loads(results.request(results.entry('a "quoted" key')))["key"] == 'a "quoted" key'
        with pytest.raises(UnknownResult, match="part/12345"):
            results.entry("part/12345x")
        everything = results.page(None, 0, 40_000)
        assert [entry.n for entry in results.page("ok", 0, 5)] == [everything.index(results.entry("größe")) + 1]
        assert all(results.entry(entry.key) == entry for entry in everything[::997])


@settings(max_examples=40)
@given(st.data())
def test_whatever_is_damaged_is_noticed_and_made_again(kept: Kept, data: st.DataObject) -> None:
    job = kept.job(MIXED)
    told = kept.told(job)
    index = kept.folder / "results.db"
    whole = bytearray(index.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    how = data.draw(st.sampled_from(["cut", "flip"]))
    whole[at] ^= 0x55
    index.write_bytes(whole[:at] if how == "cut" else whole)
    assert read_results(kept.home, job, _all) == told


def test_a_damaged_head_is_noticed_wherever_it_points(kept: Kept) -> None:
    job = kept.job(MIXED)
    told = kept.told(job)
    read_results(kept.home, job, _all)
    index = kept.folder / "results.db"
    whole = index.read_bytes()
    for at in range(36):
        index.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        assert read_results(kept.home, job, _all) == told, at


def test_an_index_of_an_earlier_form_or_with_changes_of_another_program_is_made_again(kept: Kept) -> None:
    job = kept.job(MIXED)
    told = kept.told(job)
    index = kept.folder / "results.db"
    for sql in ("UPDATE rows SET outcome = 'ok'", "DELETE FROM rows WHERE line = 7", "PRAGMA journal_mode = WAL"):
        with closing(sqlite3.connect(index, isolation_level=None)) as other:
            other.execute(sql)
            index.with_name("results.db-wal").touch()
            assert read_results(kept.home, job, _all) == told, sql
    assert not index.with_name("results.db-wal").exists()
    for form in (b"genai-batch 01\r\n" + bytes(40_000), b"SQLite format 3\0" + bytes(40_000), b""):
        index.write_bytes(form)
        assert read_results(kept.home, job, _all) == told
    with closing(sqlite3.connect(index)) as made:
        counts = made.execute("SELECT outcome, count(*) FROM rows GROUP BY outcome").fetchall()
    assert dict(counts) == told[1]


def test_many_make_the_index_at_once(kept: Kept) -> None:
    job = kept.job(MIXED)
    told = kept.told(job)
    with ThreadPoolExecutor(6) as threads:
        for _ in range(5):
            (kept.folder / "results.db").unlink()
            readings = [threads.submit(read_results, kept.home, job, _all) for _ in range(6)]
            assert [reading.result() for reading in readings] == [told] * 6
    assert not [*kept.folder.glob(".results.db*")]


def test_what_each_row_costs_adds_up_to_the_exact_cost(kept: Kept) -> None:
    again = [answer(key, "x" * n) for n, key in enumerate(KEYS, 1)]
    job = kept.job([failure(key) for key in KEYS], again)
    with Results(kept.home, job) as results:
        costs = [Decimal(entry.cost or "0") for entry in results.page(None, 0, 300)]
        assert (sum(costs), len(set(costs))) == (results.cost, 300)
        [total] = results.totals
    assert (total.rows, total.input, total.output) == (300, 7 * 300, 300 * 301 // 2)


@pytest.mark.parametrize("usage", [None, {}, {"promptTokenCount": 0}])
@pytest.mark.parametrize("reason", ["STOP", "MAX_TOKENS", "SAFETY", "OTHER", None])
def test_an_answer_that_does_not_tell_its_tokens_costs_nobody_knows_how_much(
    kept: Kept, reason: str | None, usage: dict[str, int] | None
) -> None:
    untold = answer(KEYS[1])
    untold["response"]["usageMetadata"] = usage
    untold["response"]["candidates"][0]["finishReason"] = reason
    if usage is None:
        del untold["response"]["usageMetadata"]
    with Results(kept.home, kept.job([answer(KEYS[0]), untold, *map(failure, KEYS[2:])])) as results:
        costs = [results.entry(key).cost for key in KEYS[:3]]
        assert (costs[0] is None, costs[1], results.cost) == (False, None, None)
        assert Decimal(costs[2] or 0) == 0


def test_a_prompt_that_was_blocked_before_it_was_answered_costs_nothing(kept: Kept) -> None:
    blocked = {"key": KEYS[1], "response": {"promptFeedback": {"blockReason": "SAFETY"}}}
    with Results(kept.home, kept.job([answer(KEYS[0]), blocked, *map(failure, KEYS[2:])])) as results:
        assert results.cost == Decimal(results.entry(KEYS[0]).cost or 0) > 0


def test_keys_of_any_kind_are_found(tmp_path: Path) -> None:
    keys = ["\0", "a\0b", "a", "A", "%", "_", "a'b", "\U0001f600", "\uffff", "é", "e\u0301", " ", "x" * 64, "é" * 120]
    kept = Kept(tmp_path, keys)
    with Results(kept.home, kept.job([answer(key, f"{n}") for n, key in enumerate(keys)])) as results:
        assert results.counts == {"ok": len(keys)}
        assert [results.result(results.entry(key)).text for key in keys] == [str(n) for n in range(len(keys))]
        assert [results.find(key) for key in ("\ud800", "?", "a\0", "")] == [None] * 4
        assert [set(results.keys(prefix, 50)) for prefix in ("a", "A", "\U0001f600", "")] == [
            {"a\0b", "a", "a'b"}, {"A"}, {"\U0001f600"}, set(keys),
        ]  # fmt: skip


def test_rows_that_were_lost_are_told_and_found_again_when_they_are_back(kept: Kept) -> None:
    job = kept.job([answer(key) for key in KEYS])
    file = kept.folder / "results.jsonl"
    whole = file.read_bytes()
    with Results(kept.home, job) as results:
        assert (results.counts, results.loss) == ({"ok": 300}, None)
    (kept.folder / "results.db").unlink()
    file.write_bytes(b"".join(whole.splitlines(keepends=True)[:150]))
    with Results(kept.home, job) as results:
        assert results.counts == {"ok": 150, "missing": 150}
        assert "results.jsonl was cut" in str(results.loss)
    file.write_bytes(whole)
    with Results(kept.home, job) as results:
        assert (results.counts, results.loss) == ({"ok": 300}, None)
        file.unlink()
        with pytest.raises(Torn):
            results.row(results.entry(KEYS[0]))
    with Results(kept.home, job) as results:
        assert results.counts == {"missing": 300}
        assert "0 of" in str(results.loss)


def _swapped(rows: list[bytes]) -> list[bytes]:
    return [rows[1], rows[0], *rows[2:]]


def _zeroed(rows: list[bytes]) -> list[bytes]:
    return [bytes(len(rows[0]) - 1) + b"\n", *rows[1:]]


@pytest.mark.parametrize("damage", [_swapped, _zeroed])
@pytest.mark.parametrize("told", [True, False])
def test_no_row_is_shown_for_another_where_the_file_was_changed_in_its_size(
    kept: Kept, damage: Callable[[list[bytes]], list[bytes]], told: bool
) -> None:
    job = kept.job([answer(key, f"{key}!") for key in KEYS])
    file = kept.folder / "results.jsonl"
    whole, written = file.read_bytes(), file.stat()
    before = kept.told(job)
    file.write_bytes(b"".join(damage(whole.splitlines(keepends=True))))
    if not told:  # as a disk changes it
        os.utime(file, ns=(written.st_atime_ns, written.st_mtime_ns))

    def texts(results: Results) -> list[str | None]:
        return [results.result(results.entry(key)).text for key in KEYS[:2]]

    own = read_results(kept.home, job, lambda results: [results.row(results.entry(key)) for key in KEYS[:2]])
    assert [row.get("key") for row in own] == ([None, KEYS[1]] if damage is _zeroed else KEYS[:2])
    assert read_results(kept.home, job, texts)[0] == (None if damage is _zeroed else f"{KEYS[0]}!")
    file.write_bytes(whole)
    assert kept.told(job) == before


def test_rows_with_half_pairs_escaped_backslashes_and_stray_bytes_keep_their_keys_and_texts(kept: Kept) -> None:
    texts = {"row 000": "a \\ud83d\ude00", "row 001": "a \\ud800 and \ud83d", "row 002": "\ud83d\ude00"}
    job = kept.job([answer(key, text) for key, text in texts.items()])
    file = kept.folder / "results.jsonl"
    stray = json.dumps(answer("row 003", "row 003!")).encode().replace(b"!", b"\xff") + b"\n"
    file.write_bytes(file.read_bytes() + stray)
    job = job.model_copy(update={"results_bytes": file.stat().st_size})
    with Results(kept.home, job) as results:
        shown = [results.result(results.entry(key)).text for key in (*texts, "row 003")]
        assert shown == ["a \\ud83d\ufffd", "a \\ud800 and \ufffd", "\U0001f600", "row 003\ufffd"]
        assert results.unmatched() == (0, [])
