"""What it costs to create a job after its estimate, against the estimate alone, from the command line.

python tests/benchmarks/scans.py [--rows N] [--times N] [--served]

Rows with six columns beside their request are estimated and then made a job of, each by a process of its own over the
emulator, in a home of its own each time. Seconds are those of the processor, user and system, of whole processes; the
medians are held against each other. The embedded emulator checks and counts the rows of a create in the same process;
with `--served` it is a process of its own, whose seconds do not count, as those of the provider do not.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

MODEL, MOST = "gemini-3.8-flash", 1.5
_SETTLED_S = 2.5
"""Seconds after which a file that was written is trusted not to be written again unseen."""


def write(path: Path, rows: int) -> None:
    """Write rows of about 340 bytes with six columns beside the request."""
    with path.open("w") as file:
        for number in range(rows):
            columns = {
                "customer": f"c{number % 5_000}", "country": "NL", "channel": "mail", "score": number % 100 / 10,
                "received": f"2026-11-{number % 28 + 1:02}", "urgent": number % 7 == 0,
            }  # fmt: skip
            text = f"Ticket {number}: the parcel with order {number * 37} has not arrived yet. What should we answer?"
            request = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
            file.write(json.dumps({"key": f"ticket-{number:07}", "request": request, **columns}) + "\n")


def seconds(home: Path, backend: dict[str, str], *arguments: str) -> float:
    """Seconds of the processor that one command takes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GENAI_", "GEMINI_", "GOOGLE_"))}
    env = {**kept, **backend, "GENAI_BATCH_HOME": str(home)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "genai_batch", *arguments, "--model", MODEL, "--json", "--quiet"]
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@contextmanager
def serving(state: Path) -> Generator[dict[str, str]]:
    """The emulator as a process of its own, and the settings by which a command finds it."""
    command = [sys.executable, "-m", "genai_batch", "emulate", "--port", "0", "--state", str(state)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = (process.stderr.readline() if process.stderr else "").split()[-1]
            yield {"GENAI_BATCH_BACKEND": "gemini", "GEMINI_API_KEY": "any", "GOOGLE_GEMINI_BASE_URL": url}
        finally:
            process.terminate()


def measure(folder: Path, rows: int, times: int, backend: dict[str, str]) -> tuple[float, float]:
    """The middle seconds of an estimate, and of an estimate and a create after it together."""
    source = folder / "rows.jsonl"
    write(source, rows)
    time.sleep(_SETTLED_S)
    alone, together = list[float](), list[float]()
    for turn in range(times):
        home = folder / f"home-{turn}"
        estimate = seconds(home, backend, "estimate", str(source))
        create = seconds(home, backend, "create", str(source), "--confirm", "--again")
        say(f"estimate {estimate:6.2f} s   create {create:6.2f} s")
        alone.append(estimate)
        together.append(estimate + create)
    return median(alone), median(together)


def main() -> None:
    """Measure and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="rows of the source")
    parser.add_argument("--times", type=int, default=3, help="turns, of which the median counts")
    parser.add_argument("--served", action="store_true", help="let the emulator be a process of its own")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        backend = (
            stack.enter_context(serving(folder / "state")) if given.served else {"GENAI_BATCH_BACKEND": "emulator"}
        )
        alone, together = measure(folder, given.rows, given.times, backend)
    ratio = together / alone
    say(f"estimate and create {together:.2f} s against estimate {alone:.2f} s: {ratio:.2f}, target {MOST}")
    sys.exit(ratio > MOST)


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)  # noqa: T201 - the figures are the point


if __name__ == "__main__":
    main()
