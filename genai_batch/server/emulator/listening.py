"""The emulator on a socket of this machine."""

import signal
import socket
import sys
from pathlib import Path

from .app import create_app
from .scenario import apply_scenario, load_scenario
from .store import Store


def serve(state: Path, port: int, scenario: Path | None = None) -> None:
    """Listen on 127.0.0.1 until SIGTERM or SIGINT; port 0 picks a free one. A scenario is put in force anew."""
    if scenario is not None:
        apply_scenario(Store(state), load_scenario(scenario), again=True)
    import uvicorn  # in-process users never need it

    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn shuts down first, then raises the signal again
        signal.signal(number, _leave)
    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(
        create_app(state), log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    print(f"emulator listening on {address}", file=sys.stderr, flush=True)  # noqa: T201 - the one line callers wait for
    with listener:
        uvicorn.Server(config).run(sockets=[listener])


def _leave(*_: object) -> None:
    sys.exit(0)
