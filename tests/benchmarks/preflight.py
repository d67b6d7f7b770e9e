"""How long the whole preflight takes, against bare `for line in file: orjson.loads(line)` over the same file.

python tests/benchmarks/preflight.py [--runs N] [--folder PATH] [--quick]

The whole preflight is validation, lint, repeated keys, tokens, cut, hash and snapshot. Both run in turn, each in a
process of its own; a ratio is that of the medians of one run of this program. `cpu` adds up all processors and
processes, so it says what a busy machine hides. Memory is the most that a process and its helpers held above a bare
interpreter, in a pass that is not timed: the sum of their proportional set sizes, in which shared pages count once,
looked at every 20 ms.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

Ways = Literal["floor", "one", "two", "bare"]
WORDS = ("the", "of", "and", "to", "in", "a", "is", "that", "for", "it", "as", "was", "with", "be", "by", "on")
WAYS: tuple[Ways, ...] = ("floor", "one", "two")
CHILD = """
import os, sys, time
way, path, folder = sys.argv[1:]
def cpu():
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
if way == "floor":
    import orjson
    def run():
        with open(path, "rb") as file:
            for line in file:
                orjson.loads(line)
elif way == "bare":
    def run(): pass
else:
    from datetime import date
    from pathlib import Path
    from genai_batch.resources import models
    from genai_batch.resources.requests import Cut, Preflight
    model = models.find("gemini-3.8-flash", date(2026, 11, 20))
    def run():
        with open(folder + "/requests.jsonl", "wb") as sent, open(folder + "/extras.jsonl", "wb") as extras:
            helped = {"one": False, "two": None}[way]
            found = Preflight(Path(path), model, Cut(tokens=2_400_000), helped=helped).run(sent, extras)
        assert found.requests and not found.findings.count
begun, used = time.perf_counter(), cpu()
run()
took, spent = time.perf_counter() - begun, cpu() - used
print(took, spent)
"""
"""What a process of its own does: one pass in one way."""


@dataclass(frozen=True)
class Kind:
    """A kind of source, how many lines, and the targets: time in one process and on two processors, memory."""

    name: str
    lines: int
    line: Callable[[random.Random, int], dict[str, Any]]
    one: float | None = None
    two: float | None = None
    memory: float | None = None


@dataclass(frozen=True)
class Pass:
    """What one pass took."""

    seconds: float
    cpu: float


def row(number: int, *parts: dict[str, Any]) -> dict[str, Any]:
    """One line of a source."""
    contents = [{"role": "user", "parts": list(parts)}]
    return {
        "key": f"row-{number:09d}",
        "request": {"contents": contents, "generation_config": {"max_output_tokens": 256}},
    }


def words(chance: random.Random, least: int, most: int) -> str:
    """Some words."""
    return " ".join(chance.choices(WORDS, k=chance.randint(least, most)))


def short(chance: random.Random, number: int) -> dict[str, Any]:
    """About 200 bytes."""
    return row(number, {"text": words(chance, 8, 26)})


def long(chance: random.Random, number: int) -> dict[str, Any]:
    """About 8 kB, with line breaks and quotation marks."""
    return row(number, {"text": "\n".join(f'"{words(chance, 20, 40)}"' for _ in range(72))})


def image(chance: random.Random, number: int) -> dict[str, Any]:
    """About 1 MB."""
    data = b64encode(chance.randbytes(750_000)).decode()
    return row(number, {"text": "What is this?"}, {"inline_data": {"mime_type": "image/png", "data": data}})


KINDS = (
    Kind("0.1 M lines of 200 B", 100_000, short),
    Kind("1 M lines of 200 B", 1_000_000, short, 1.6, 1.0, 120),
    Kind("60 k lines of 8 kB", 60_000, long, 1.5, 0.9, 120),
    Kind("500 lines of 1 MB", 500, image, 1.3, 1.0, 120),
    Kind("10 M lines of 200 B", 10_000_000, short, None, None, 200),
)


def measure(source: Path, runs: int, ways: Sequence[Ways]) -> dict[Ways, list[Pass]]:
    """Make every pass in turn, `runs` times."""
    passes: dict[Ways, list[Pass]] = {way: list[Pass]() for way in ways}
    for _ in range(runs):
        for way in ways:
            passes[way].append(_pass(way, source))
    return passes


def _command(way: Ways, source: Path) -> list[str]:
    for name in ("requests.jsonl", "extras.jsonl"):
        (source.parent / name).unlink(missing_ok=True)
    return [sys.executable, "-c", CHILD, way, str(source), str(source.parent)]


def _pass(way: Ways, source: Path) -> Pass:
    done = subprocess.run(_command(way, source), check=True, capture_output=True, text=True)
    return Pass(*map(float, done.stdout.split()))


def memory(way: Ways, source: Path) -> float:
    """MB that a pass holds at most, with its helpers."""
    most = 0.0
    with subprocess.Popen(_command(way, source), stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, held(process.pid))
            time.sleep(0.02)
    return most / 1024


def held(pid: int) -> float:
    """Proportional set size of a process and those it started, in kB; of one that just ended, nothing."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss: +(\d+)", rollup, re.MULTILINE)
    return float(found[1] if found else 0) + sum(map(held, children(pid)))


def children(pid: int) -> list[int]:
    """The processes that a process has started, whichever of its threads did."""
    found = list[int]()
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # it has just ended
                found += map(int, (thread / "children").read_text().split())
    return found


def write(kind: Kind, folder: Path) -> Path:
    """Write a source of a kind: its first 100,000 lines made, the rest with other keys."""
    path = folder / f"{kind.line.__name__}.jsonl"
    chance = random.Random(kind.lines)
    made = [json.dumps(kind.line(chance, number)).split("row-", 1) for number in range(min(kind.lines, 100_000))]
    with path.open("w") as file:
        for number in range(kind.lines):
            before, behind = made[number % len(made)]
            file.write(f"{before}row-{number:09d}{behind[9:]}\n")
    return path


def seconds(passes: list[Pass]) -> float:
    """The median time."""
    return median(each.seconds for each in passes)


def rows(kind: Kind, source: Path, passes: dict[Ways, list[Pass]]) -> Iterator[tuple[str, float, float | None]]:
    """Each figure of a kind: what it is, its value, its target."""
    floor, cpu = seconds(passes["floor"]), median(each.cpu for each in passes["floor"])
    bare = memory("bare", source)
    cases: list[tuple[Ways, float | None, str]] = [
        ("one", kind.one, "in one process"),
        ("two", kind.two, "on two processors"),
    ]
    for way, target, said in cases:
        yield f"{kind.name}, {said}", seconds(passes[way]) / floor, target
        yield f"{kind.name}, {said}, cpu", median(each.cpu for each in passes[way]) / cpu, None
        yield f"{kind.name}, {said}, MB", memory(way, source) - bare, kind.memory


def growth(by_kind: dict[str, float]) -> Iterator[tuple[str, float, float | None]]:
    """How much longer a line takes among 10 M than among 0.1 M."""
    few, many = (by_kind.get(kind.name) for kind in (KINDS[0], KINDS[-1]))
    if few and many:
        yield "time per line, 10 M against 0.1 M", many / few, 1.15


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="passes of each way (default 5; 10 M lines: 1)")
    parser.add_argument("--folder", type=Path, help="where to put the sources, about 3 GB at a time")
    parser.add_argument("--quick", action="store_true", help="leave out 10 M lines")
    given = parser.parse_args()
    missed = False
    per_line: dict[str, float] = {}
    say(f"{'case':<46}{'ratio':>8}{'target':>8}  met   (load {os.getloadavg()[0]:.1f})")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for kind in KINDS[: -1 if given.quick else None]:
            source = write(kind, Path(folder))
            runs = given.runs if kind.lines < 5_000_000 else 1
            passes = measure(source, runs, WAYS)
            per_line[kind.name] = seconds(passes["one"]) / seconds(passes["floor"])
            missed |= tell(rows(kind, source, passes))
            source.unlink()
    missed |= tell(growth(per_line))
    sys.exit(missed)


def tell(figures: Iterator[tuple[str, float, float | None]]) -> bool:
    """Print figures; whether one misses its target."""
    missed = False
    for name, value, target in figures:
        met = target is None or value <= target
        missed |= not met
        said = "" if target is None else f"{target:>8.2f}  {'yes' if met else 'NO'}"
        say(f"{name:<46}{value:>8.2f}{said}")
    return missed


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)  # noqa: T201 - the table is the point


if __name__ == "__main__":
    main()
