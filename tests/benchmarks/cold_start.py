"""How long a host waits for this server's tools, against a bare server of the same SDK started the same way.

python tests/benchmarks/cold_start.py [--runs N]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Timer
from time import perf_counter
from typing import Any

RUNS = 9
LIMIT = 1.25
PATIENCE_S = 30
BARE = "bare"
BARE_SERVER = '''"""The least that an MCP server of this SDK can be: one tool."""

from mcp.server import MCPServer


def serve() -> None:
    server = MCPServer("bare")

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    server.run("stdio")
'''
LAUNCHER = "import sys\nfrom bare_server import serve\nsys.exit(serve())\n"  # what pip writes for a console script

_ME = {"name": "cold-start", "version": "1"}
_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": _ME,
}
_HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": _ME}


@dataclass(frozen=True)
class Step:
    """One message of a host; `id` None is a notification, which nobody answers."""

    method: str
    params: Mapping[str, object]
    id: int | None = None

    def line(self) -> bytes:
        message = {"jsonrpc": "2.0", "method": self.method, "params": self.params}
        return json.dumps(message if self.id is None else {**message, "id": self.id}).encode() + b"\n"


ERAS: dict[str, tuple[Step, ...]] = {
    "2026-07-28": (Step("server/discover", {"_meta": _META}, 1), Step("tools/list", {"_meta": _META}, 2)),
    "2025-11-25": (
        Step("initialize", _HELLO, 1),
        Step("notifications/initialized", {}),
        Step("tools/list", {}, 2),
    ),
}
"""What a host of each protocol era says until it has the tools."""


@dataclass(frozen=True)
class Server:
    """A way to start a server."""

    name: str
    command: Sequence[str]
    env: dict[str, str]

    def start(self, era: str) -> tuple[float, int]:
        """Start the process, ask for its tools, end it; the seconds until they were there, and how many they are."""
        begun = perf_counter()
        with subprocess.Popen(
            self.command, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            hung = Timer(PATIENCE_S, process.kill)
            hung.start()
            try:
                result = _ask(process, ERAS[era])
                return perf_counter() - begun, len(result["tools"])
            finally:
                if process.stdin:
                    process.stdin.close()
                process.wait()
                hung.cancel()


@dataclass(frozen=True)
class Figure:
    """The cold starts of one server in seconds."""

    server: str
    era: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.seconds)


@dataclass(frozen=True)
class Measurement:
    """What one interleaved measurement saw."""

    figures: tuple[Figure, ...]

    def ratio(self, figure: Figure) -> float:
        """How much longer than the bare server of the same era."""
        return figure.median / next(
            other.median for other in self.figures if other.server == BARE and other.era == figure.era
        )

    @property
    def worst(self) -> float:
        """The largest ratio."""
        return max(self.ratio(figure) for figure in self.figures)

    def table(self) -> str:
        lines = [f"{'server':<26}{'first words':<13}{'median':>9}{'min':>9}{'ratio':>8}"]
        lines += [
            f"{figure.server:<26}{figure.era:<13}{figure.median * 1000:>6.0f} ms{min(figure.seconds) * 1000:>6.0f} ms"
            f"{self.ratio(figure):>8.2f}"
            for figure in self.figures
        ]
        return "\n".join(lines)


def measure(runs: int = RUNS, eras: Sequence[str] = tuple(ERAS)) -> Measurement:
    """Start each server in turn, `runs` times after a warm-up, so that a busy machine slows all of them alike."""
    with _servers() as servers:
        pairs = [(server, era) for era in eras for server in servers]
        seconds: dict[tuple[str, str], list[float]] = {(server.name, era): [] for server, era in pairs}
        for run in range(runs + 1):
            for server, era in pairs:
                took, tools = server.start(era)
                if (tools == 1) is not (server.name == BARE):
                    raise RuntimeError(f"{server.name} offers {tools} tools")
                if run:
                    seconds[server.name, era].append(took)
    return Measurement(tuple(Figure(name, era, tuple(took)) for (name, era), took in seconds.items()))


@contextmanager
def _servers() -> Generator[tuple[Server, ...]]:
    """The bare server, and this one with and without a key; neither calls anybody while it has no job."""
    with tempfile.TemporaryDirectory(prefix="cold-start-") as folder:
        work = Path(folder).resolve()
        (work / "bare_server.py").write_text(BARE_SERVER)
        (work / "launcher.py").write_text(LAUNCHER)
        ours = str(Path(sys.executable).parent / "genai-batch-mcp")
        plain = {"PATH": os.environ["PATH"], "HOME": folder, "GENAI_BATCH_ROOTS": folder}
        offline = {"GENAI_BATCH_BACKEND": "emulator", "GENAI_BATCH_HOME": str(work / "offline")}
        online = {"GEMINI_API_KEY": "not-a-key", "GENAI_BATCH_HOME": str(work / "online")}
        yield (
            Server(BARE, [sys.executable, str(work / "launcher.py")], plain),
            Server("genai-batch-mcp, offline", [sys.executable, ours], plain | offline),
            Server("genai-batch-mcp, gemini", [sys.executable, ours], plain | online),
        )


def _ask(process: "subprocess.Popen[bytes]", steps: Sequence[Step]) -> dict[str, Any]:
    """Say each step and wait for its answer; give the last.

    Raises:
        RuntimeError: the server ended, or answered with an error.
    """
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process has no pipes")
    answer: dict[str, Any] = {}
    for step in steps:
        process.stdin.write(step.line())
        process.stdin.flush()
        while step.id is not None and answer.get("id") != step.id:
            if not (line := process.stdout.readline()):
                raise RuntimeError(f"{process.args!r} ended before it answered {step.method}")
            answer = json.loads(line)
    if "result" not in answer:
        raise RuntimeError(f"{process.args!r} answered {answer}")
    return answer["result"]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=RUNS, help=f"starts of each server (default {RUNS})")
    measured = measure(parser.parse_args().runs)
    print(measured.table())  # noqa: T201 - the table is the point
    sys.exit(measured.worst > LIMIT)


if __name__ == "__main__":
    main()
