"""How much CPU the scan of a source takes, for every kind of file that people bring, against a bare parser.

python tests/benchmarks/forms.py [--lines N] [--runs N] [--kind NAME …] [--folder PATH] [--memory LINES]

The base is `for line in file: orjson.loads(line)` over the same file. The scan is all of it: validation, lint,
repeated keys, tokens, cut, digest and snapshot. Both run in turn, each in a process of its own, and count the CPU time
of all its threads and children from the first line on, so start-up is left out; a ratio is that of the medians. The
other figure of a kind compares its CPU per byte with that of uniform lines as long. Of a source of a few MB a larger
share of the rows is counted for its tokens than of a large one, so it takes more for a line. `--memory` makes one pass
over so many lines and prints what it held above a bare interpreter.
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
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

Row = dict[str, Any]
WORDS = ("the", "of", "and", "to", "in", "a", "is", "that", "for", "it", "as", "was", "with", "be", "by", "on")
NEIGHBOUR = 2.5
"""How many times the CPU per byte of a uniform line of its length a line may take."""
CHILD = """
import resource, sys
way, path, folder, model = sys.argv[1:]
def cpu():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
if way == "base":
    import orjson
    def run():
        with open(path, "rb") as file:
            for line in file:
                try:
                    orjson.loads(line)
                except orjson.JSONDecodeError:
                    pass
elif way == "bare":
    def run(): pass
else:
    from datetime import date
    from pathlib import Path
    from genai_batch.resources import models
    from genai_batch.resources.requests import Cut, Preflight
    model = models.find(model, date(2026, 11, 20))
    def run():
        with open(folder + "/requests.jsonl", "wb") as sent, open(folder + "/extras.jsonl", "wb") as extras:
            scan = Preflight(Path(path), model, Cut(tokens=2_400_000)).run(sent, extras)
        assert scan.requests
        assert bool(scan.findings.count) == ("faulty" in path), scan.findings.problems[:3]
before = cpu()
run()
print(cpu() - before)
"""
"""What a process of its own does: one pass in one way, and its CPU time."""


def words(chance: random.Random, least: int, most: int) -> str:
    """Some words."""
    return " ".join(chance.choices(WORDS, k=chance.randint(least, most)))


def turn(text: str, role: str = "user") -> Row:
    """A turn of one text."""
    return {"role": role, "parts": [{"text": text}]}


def line(number: int, contents: list[Row], /, **members: Any) -> Row:
    """A line; `members` stand beside the contents."""
    return {"key": f"row-{number:09d}", "request": {"contents": contents, **members}}


def uniform(chance: random.Random, number: int) -> Row:
    """A text of some words, and one setting."""
    return line(number, [turn(words(chance, 8, 26))], generation_config={"max_output_tokens": 256})


def columns(chance: random.Random, number: int) -> Row:
    """Six columns stand beside the request, one of them nested."""
    row = uniform(chance, number)
    extras = {
        "id": number, "title": words(chance, 2, 6), "price": round(chance.uniform(1, 99), 2), "tags": ["a", "b"],
        "source": {"file": f"in/{number % 97}.csv", "line": number, "sheet": {"name": "Año", "hidden": False}},
        "checked": None,
    }  # fmt: skip
    return {**row, **extras}


def personas(chance: random.Random, number: int) -> Row:
    """A system instruction of its own for each row."""
    persona = f"You are {words(chance, 3, 12)}, number {number}. Answer briefly."
    system = {"parts": [{"text": persona}]}
    settings = {"max_output_tokens": 256}
    return line(number, [turn(words(chance, 8, 26))], system_instruction=system, generation_config=settings)


def turns(chance: random.Random, number: int) -> Row:
    """One to seven turns."""
    said = [turn(words(chance, 4, 16), ("user", "model")[n % 2]) for n in range(chance.choice((1, 3, 5, 7)))]
    return line(number, said, generation_config={"max_output_tokens": 256})


def schemas(chance: random.Random, number: int) -> Row:
    """A response schema of its own for each row: which properties there are, and the words of an enum."""
    names = chance.sample(("name", "city", "price", "kind", "score", "year", "note"), 3)
    schema = {
        "type": "OBJECT",
        "properties": {
            "label": {"type": "STRING", "enum": [words(chance, 1, 2), f"other {number}"]},
            **{name: {"type": chance.choice(("STRING", "NUMBER", "INTEGER"))} for name in names},
        },
        "required": ["label", names[0]],
    }
    settings = {"max_output_tokens": 512, "response_mime_type": "application/json", "response_schema": schema}
    return line(number, [turn(words(chance, 8, 26))], generation_config=settings)


def settings(chance: random.Random, number: int) -> Row:
    """Settings whose values differ by row."""
    config = {
        "temperature": round(chance.uniform(0, 2), 3), "top_p": round(chance.random(), 3), "seed": number,
        "max_output_tokens": chance.randint(100, 4_000),
    }  # fmt: skip
    return line(number, [turn(words(chance, 8, 26))], generation_config=config)


def camel(chance: random.Random, number: int) -> Row:
    """As the REST documentation writes it, with three settings of three."""
    config = {"maxOutputTokens": chance.choice((256, 512)), "temperature": chance.choice((0.2, 0.7, 1)), "topK": 40}
    safety = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    system = {"parts": [{"text": "Answer in one sentence."}]}
    members = {"generationConfig": config, "safetySettings": safety, "systemInstruction": system}
    return line(number, [turn(words(chance, 8, 26))], **members)


def thinking(chance: random.Random, number: int) -> Row:
    """As the SDK for Python writes it, with thinking."""
    level = {"thinking_level": chance.choice(("LOW", "HIGH"))}
    config = {"max_output_tokens": chance.choice((2_048, 4_096)), "thinking_config": level, "candidate_count": 1}
    return line(number, [turn(words(chance, 8, 26))], generation_config=config)


def tools(chance: random.Random, number: int) -> Row:
    """Function declarations whose descriptions differ by row."""
    place = {"type": "string", "description": f"Which place, such as {words(chance, 1, 3)}"}
    parameters = {"type": "object", "properties": {"place": place}, "required": ["place"]}
    function = {"name": "find_weather", "description": words(chance, 4, 8), "parameters": parameters}
    config = {"max_output_tokens": 256}
    held = [{"function_declarations": [function]}]
    return line(number, [turn(words(chance, 8, 26))], tools=held, generation_config=config)


def no_role(chance: random.Random, number: int) -> Row:
    """No role, no settings."""
    return line(number, [{"parts": [{"text": words(chance, 8, 26)}]}])


def languages(chance: random.Random, number: int) -> Row:
    """Chinese, Japanese and Arabic, as they are."""
    text = chance.choice(
        ("请用一句话概括这篇文章的主要内容。", "この文章を要約してください。", "لخص هذا النص في جملة واحدة. ")
    )
    return line(number, [turn(text * chance.randint(1, 5))], generation_config={"max_output_tokens": 256})


def long(chance: random.Random, number: int) -> Row:
    """About 8 kB, with line breaks and quotation marks."""
    text = "\n".join(f'"{words(chance, 20, 40)}"' for _ in range(72))
    return line(number, [turn(text)], generation_config={"max_output_tokens": 256})


def pictures(chance: random.Random, number: int) -> Row:
    """A picture of 1 MB."""
    data = b64encode(b"\x89PNG\r\n\x1a\n" + chance.randbytes(750_000)).decode()
    parts = [{"text": "What is this?"}, {"inline_data": {"mime_type": "image/png", "data": data}}]
    return line(number, [{"role": "user", "parts": parts}], generation_config={"max_output_tokens": 256})


def files(chance: random.Random, number: int) -> Row:
    """A file of the Files API, named by its URI."""
    uri = f"https://generativelanguage.googleapis.com/v1beta/files/{chance.randbytes(6).hex()}"
    file = {"mime_type": chance.choice(("image/jpeg", "application/pdf")), "file_uri": uri}
    parts = [{"text": words(chance, 4, 12)}, {"file_data": file}]
    return line(number, [{"role": "user", "parts": parts}], generation_config={"max_output_tokens": 256})


def calls(chance: random.Random, number: int) -> Row:
    """A conversation in which the model has called a function."""
    call = {"functionCall": {"name": "find", "args": {"place": words(chance, 1, 3), "days": number % 9}}}
    response = {"functionResponse": {"name": "find", "response": {"degrees": number % 30, "sky": words(chance, 1, 2)}}}
    held = [turn(words(chance, 5, 12)), {"role": "model", "parts": [call]}, {"role": "user", "parts": [response]}]
    return line(number, held, generationConfig={"maxOutputTokens": 256})


def embeddings(chance: random.Random, number: int) -> Row:
    """A text to embed."""
    content = {"parts": [{"text": words(chance, 8, 26)}]}
    return {"key": f"row-{number:09d}", "request": {"content": content, "task_type": "CLUSTERING"}}


def faulty(chance: random.Random, number: int) -> Row:
    """One line of a hundred has a fault."""
    row = uniform(chance, number)
    if number % 100 == 50:
        row["request"]["contents"][0]["role"] = "assistant"
    return row


def mixed(chance: random.Random, number: int) -> Row:
    """Each line is of some kind, in no order."""
    kinds = (uniform, columns, personas, turns, settings, camel, thinking, no_role, languages, files, calls)
    return chance.choice(kinds)(chance, number)


@dataclass(frozen=True)
class Kind:
    """A kind of file: what makes its lines, how many of them for each that was asked for, and its target."""

    make: Callable[[random.Random, int], Row]
    target: float = 6
    share: float = 1
    model: str = "gemini-3.8-flash"

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return self.make.__name__


KINDS = (
    Kind(uniform, 3), Kind(columns), Kind(personas), Kind(turns), Kind(schemas), Kind(settings), Kind(camel),
    Kind(thinking), Kind(tools), Kind(no_role), Kind(languages), Kind(long, 1.6, 0.2), Kind(pictures, 1.6, 0.005),
    Kind(files), Kind(calls), Kind(embeddings, model="gemini-embedding-2"), Kind(faulty), Kind(mixed),
)  # fmt: skip


def write(kind: Kind, folder: Path, lines: int) -> Path:
    """Write a source: its first 20,000 lines made, the rest with other keys."""
    path, chance = folder / f"{kind.name}.jsonl", random.Random(kind.name)
    made = [json.dumps(kind.make(chance, n), ensure_ascii=False).split("row-", 1) for n in range(min(lines, 20_000))]
    with path.open("w") as file:
        for number in range(lines):
            before, behind = made[number % len(made)]
            file.write(f"{before}row-{number:09d}{behind[9:]}\n")
    return path


def like(path: Path, lines: int) -> Path:
    """Write uniform lines as long, on average, as those of another source."""
    chance, mean = random.Random(1), path.stat().st_size / lines
    room = round(mean) - len(json.dumps(line(0, [turn("")], generation_config={"max_output_tokens": 256}))) - 1
    target = path.with_name("uniform_like.jsonl")
    text = words(chance, room + 20_000, room + 20_000)
    with target.open("w") as file:
        for number in range(lines):
            start = chance.randrange(20_000)
            said = [turn(text[start : start + max(1, room)])]
            file.write(json.dumps(line(number, said, generation_config={"max_output_tokens": 256})) + "\n")
    return target


def cpu(way: str, source: Path, model: str) -> float:
    """Seconds of CPU that one pass takes."""
    done = subprocess.run(command(way, source, model), check=True, capture_output=True, text=True)
    return float(done.stdout)


def command(way: str, source: Path, model: str) -> list[str]:
    """What makes one pass."""
    return [sys.executable, "-c", CHILD, way, str(source), str(source.parent), model]


def ratios(kind: Kind, folder: Path, lines: int, runs: int) -> tuple[float, float]:
    """The CPU of a scan against that of a parser, and per byte against that of uniform lines as long."""
    source = write(kind, folder, lines)
    same = like(source, lines)
    base, scan, other = list[float](), list[float](), list[float]()
    for _ in range(runs):
        base.append(cpu("base", source, kind.model))
        scan.append(cpu("scan", source, kind.model))
        other.append(cpu("scan", same, KINDS[0].model))
    per_byte = median(scan) / source.stat().st_size, median(other) / same.stat().st_size
    for path in (source, same):
        path.unlink()
    return median(scan) / median(base), per_byte[0] / per_byte[1]


def memory(way: str, source: Path, model: str) -> float:
    """MB that a pass holds at most, with its helpers."""
    most = 0.0
    with subprocess.Popen(command(way, source, model), stdout=subprocess.DEVNULL) as process:
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
    pss = re.search(r"^Pss: +(\d+)", rollup, re.MULTILINE)
    return float(pss[1] if pss else 0) + sum(map(held, children(pid)))


def children(pid: int) -> list[int]:
    """The processes that a process has started, whichever of its threads did."""
    pids = list[int]()
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # it has just ended
                pids += map(int, (thread / "children").read_text().split())
    return pids


def figures(kind: Kind, folder: Path, options: argparse.Namespace) -> Iterator[tuple[str, float, float | None]]:
    """Each figure of a kind: what it is, its value, its target."""
    if options.memory:
        source = write(kind, folder, options.memory)
        above = memory("scan", source, kind.model) - memory("bare", source, kind.model)
        source.unlink()
        yield f"{kind.name}, MB", above, 120 if options.memory <= 1_000_000 else 200
        return
    lines = max(40, round(options.lines * kind.share))
    ratio, neighbour = ratios(kind, folder, lines, options.runs)
    yield f"{kind.name}, against orjson", ratio, kind.target
    yield f"{kind.name}, against uniform lines as long", neighbour, NEIGHBOUR


def tell(values: Iterator[tuple[str, float, float | None]]) -> bool:
    """Print figures; whether one misses its target."""
    missed = False
    for name, value, target in values:
        met = target is None or value <= target
        missed |= not met
        say(f"{name:<46}{value:>8.2f}" + ("" if target is None else f"{target:>8.2f}  {'yes' if met else 'NO'}"))
    return missed


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)  # noqa: T201 - the table is the point


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [kind.name for kind in KINDS]
    parser.add_argument("--lines", type=int, default=20_000, help="lines of a source (default 20,000; fewer long ones)")
    parser.add_argument("--runs", type=int, default=5, help="passes of each way (default 5)")
    parser.add_argument("--kind", choices=names, action="append", help="only this kind; may be given several times")
    parser.add_argument("--folder", type=Path, help="where to put the sources")
    parser.add_argument("--memory", type=int, help="measure memory over so many lines, in place of time")
    options = parser.parse_args()
    missed = False
    say(f"{'case':<46}{'value':>8}{'target':>8}  met   (load {os.getloadavg()[0]:.1f})")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for kind in KINDS:
            if not options.kind or kind.name in options.kind:
                missed |= tell(figures(kind, Path(folder), options))
    sys.exit(missed)


if __name__ == "__main__":
    main()
