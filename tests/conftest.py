"""Fixtures: the environment scrubbed, a world to act in."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import stamina
from jsonschema import Draft202012Validator

from tests.processes import ending, heed_interrupts
from tests.world import World

hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same")
"""Every run draws the same examples, and none has to be quick: what is red here is red everywhere."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's key or home reaches a test."""
    for name in os.environ:
        if name.startswith(("GENAI_", "GEMINI_", "GOOGLE_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_second_try() -> Generator[None]:
    """A call that fails is not made again at once, so that tests see what the ledger does about it."""
    with stamina.set_testing(True, attempts=1):
        yield


@pytest.fixture(autouse=True, scope="session")
def schemas_checked_once() -> Generator[None]:
    """A client checks the tools' output schemas when it first calls one; clients of this run share the verdict."""
    check, right = Draft202012Validator.check_schema, set[str]()

    def check_once(schema: Any, *more: Any) -> None:
        if (text := json.dumps(schema)) not in right:
            check(schema, *more)
            right.add(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Draft202012Validator, "check_schema", check_once)
        yield


@pytest.fixture
async def world(tmp_path: Path) -> World:
    """A world whose batches end as soon as they are asked about."""
    (tmp_path / "work").mkdir()
    made = World(tmp_path / "work", tmp_path / "home")
    await made.set(queue_s=0, run_s=0)
    return made


@pytest.fixture
def emulator_url(tmp_path: Path) -> Generator[str]:
    """The emulator as a server of its own, on a port it chose, whose batches end as soon as they are asked about."""
    scenario = tmp_path / "scenario.json"
    scenario.write_text(json.dumps({"settings": {"queue_s": 0, "run_s": 0}}))
    state = ["--scenario", str(scenario), "--state", str(tmp_path / "state")]
    command = [sys.executable, "-m", "genai_batch", "emulate", "--port", "0", *state]
    with ending(subprocess.Popen(command, stderr=subprocess.PIPE, text=True)) as process:
        assert process.stderr
        line = process.stderr.readline()
        assert "emulator listening on " in line
        yield line.split()[-1]
        process.terminate()
        process.communicate(timeout=20)
        assert process.returncode == 0


def pytest_configure() -> None:
    """What is tested with signals is tested in the background too."""
    heed_interrupts()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make surface` writes the snapshot that the tests compare with; `make soak` kills more often."""
    parser.addoption(
        "--write-surface", action="store_true", help="write tests/surface.json instead of comparing with it"
    )
    parser.addoption("--kills", default="8", help="how many processes each kill test kills")
