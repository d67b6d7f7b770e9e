"""A server leaves at once and cleanly, whoever ends it, and puts nothing on stdout that is not the protocol."""

import json
import signal
import subprocess
import sys

import pytest

from tests.processes import ending
from tests.world import World

pytestmark = pytest.mark.anyio
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


@pytest.mark.parametrize("end", ["EOF", "SIGINT", "SIGTERM"])
async def test_the_server_leaves_with_0_when_it_is_told_to(world: World, end: str) -> None:
    with ending(
        subprocess.Popen(
            [sys.executable, "-m", "genai_batch", "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=world.env(),
            cwd=world.work,
        )
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(HELLO) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["result"]["protocolVersion"] == "2025-11-25"
        if end == "EOF":
            process.stdin.close()
        else:
            process.send_signal(signal.Signals[end])
        assert process.wait(10) == 0
        assert process.stdout.read() == ""


async def test_a_home_that_cannot_be_used_is_told_on_stderr(world: World) -> None:
    (world.work / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "genai_batch", "serve"],
        input="",
        capture_output=True,
        text=True,
        timeout=30,
        env=world.env(GENAI_BATCH_HOME=str(world.work / "file")),
        check=False,
    )
    assert (done.stdout, "GENAI_BATCH_HOME" in done.stderr) == ("", True)
    assert done.returncode == 1
