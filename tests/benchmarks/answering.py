"""A bare look-alike of generateContent, as a process: one canned answer of about 0.9 kB, so long after each request.

The emulator reads, checks, bills and logs each call, which takes it longer than the runner takes to make it: against it
the emulator would be measured. This one does nothing but wait, and count how often it was sent each body.
"""

import asyncio
import json
import re
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable, Generator
from contextlib import contextmanager

_HALF_S = 0.0005
"""Half of what timers are rounded up to."""
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
TOKENS = 110
"""What an answer is said to have taken, unless another number is asked for; with 0 it does not say."""


def _reply(tokens: int) -> bytes:
    usage = {"promptTokenCount": 12, "candidatesTokenCount": tokens, "totalTokenCount": 12 + tokens}
    answer = json.dumps({
        "candidates": [{"content": {"parts": [{"text": "words " * 110}], "role": "model"}, "finishReason": "STOP"}],
        **({"usageMetadata": usage} if tokens else {}), "modelVersion": "none", "responseId": "none",
    }).encode()  # fmt: skip
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
    return head + answer


class _Later:
    """Calls what it is given after so many seconds, on the mean: asyncio rounds timers up to a whole millisecond."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s, self._loop = latency_s, asyncio.get_running_loop()
        self._due = deque[tuple[float, Callable[[], None]]]()

    def call(self, answer: Callable[[], None]) -> None:
        self._due.append((self._loop.time() + self._latency_s - _HALF_S, answer))
        if len(self._due) == 1:
            self._loop.call_at(self._due[0][0], self._run)

    def _run(self) -> None:
        now = self._loop.time()
        while self._due and self._due[0][0] <= now:
            self._due[0][1]()
            self._due.popleft()
        if self._due:
            self._loop.call_at(self._due[0][0], self._run)


class _Answers(asyncio.Protocol):
    """Answers each request of a connection after a while."""

    def __init__(self, later: _Later | None, counts: Counter[bytes] | None, reply: bytes) -> None:
        self._later, self._counts, self._reply, self._rest = later, counts, reply, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self._rest, 0, end)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self._rest) < whole:
                return
            asks, body, self._rest = self._rest[:4] == b"GET ", self._rest[end + 4 : whole], self._rest[whole:]
            if asks:
                self._tell()
                continue
            if self._counts is not None:
                self._counts[body] += 1
            if self._later:
                self._later.call(self._answer)
            else:
                self._answer()

    def _tell(self) -> None:
        """Say how often each body came."""
        told = json.dumps([[body.decode(), count] for body, count in (self._counts or {}).items()]).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(told) + told)
        self._transport.close()

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._reply)


@contextmanager
def answering(latency_s: float, *, counts: bool = False, tokens: int = TOKENS) -> Generator[str]:
    """Run it on a port of its own, and yield its address."""
    command = [sys.executable, "-m", "tests.benchmarks.answering", f"{latency_s}", f"{tokens}", *["counts"] * counts]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def _serve(latency_s: float, tokens: int, counts: Counter[bytes] | None) -> None:
    later = _Later(latency_s) if latency_s else None
    loop = asyncio.get_running_loop()
    reply = _reply(tokens)
    server = await loop.create_server(lambda: _Answers(later, counts, reply), "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201 - to who started it
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), int(sys.argv[2]), Counter() if "counts" in sys.argv else None))
