"""The public surface is a contract: what a host sees is a reviewed snapshot, within budgets that are written down."""

import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_types import TextResourceContents

from genai_batch.server.app import build_server
from genai_batch.tools import estimate_cost
from tests.world import MODEL, World, call, finish, read, row, start, text_of

pytestmark = pytest.mark.anyio
SNAPSHOT = Path(__file__).parent / "surface.json"
TOOLS_BYTES, WIRE_BYTES, DEFAULT_BYTES, LARGEST_BYTES, MOST_TOOLS = 5_200, 19_700, 2_000, 40_000, 10
HOSTILE = '\x1b[31m\u202e\x00"\\' * 40
"""Text that grows most when it is escaped."""


async def surface(client: Client) -> dict[str, Any]:
    """Everything a host can list."""
    tools = (await client.list_tools()).tools
    templates = (await client.list_resource_templates()).resource_templates
    static = (await client.list_resources()).resources
    return {
        "instructions": client.instructions,
        "tools": [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools],
        "resources": [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in static],
        "templates": [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in templates],
    }


async def test_what_a_host_sees_is_what_was_reviewed(world: World, pytestconfig: pytest.Config) -> None:
    async with world.client() as client:
        seen = json.dumps(await surface(client), indent=1, ensure_ascii=False) + "\n"
    if pytestconfig.getoption("--write-surface"):
        SNAPSHOT.write_text(seen)
    assert seen == SNAPSHOT.read_text(), "review the change, then run `make surface`"


async def test_the_tools_fit_their_budget(world: World) -> None:
    async with world.client() as client:
        tools = (await client.list_tools()).tools
    visible = [len((tool.name + (tool.description or "") + json.dumps(tool.input_schema)).encode()) for tool in tools]
    wire = sum(len(tool.model_dump_json(by_alias=True, exclude_none=True)) for tool in tools)
    assert len(tools) <= MOST_TOOLS
    assert sum(visible) <= TOOLS_BYTES, dict(zip([tool.name for tool in tools], visible, strict=True))
    assert wire <= WIRE_BYTES


async def test_every_tool_has_a_file_of_its_name_all_four_hints_and_an_output_schema(world: World) -> None:
    folder = Path(estimate_cost.__file__ or "").parent
    shared = {
        "__init__",
        "approval",
        "comparing",
        "compiling",
        "filled",
        "piloting",
        "repeating",
        "numbered_rows",
        "placing",
        "routing",
        "starting",
        "workspace",
    }
    async with world.client() as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {path.stem for path in folder.glob("*.py")} - shared
    for tool in tools.values():
        assert tool.annotations
        hints = tool.annotations.model_dump(exclude={"title"})
        assert None not in hints.values(), tool.name
        assert len(hints) == 4
        assert tool.output_schema
        assert "workspace" not in tool.input_schema["properties"]


async def test_the_instructions_say_when_to_use_the_server_and_fit_a_host(world: World) -> None:
    async with Client(build_server(world.settings())) as client:
        said = client.instructions or ""
    assert 200 <= len(said) <= 1_500
    for word in ("Gemini", "estimate_cost", "create_batch", "check_status", "get_results", ".jsonl", "batch://jobs"):
        assert word in said


async def test_no_answer_at_default_arguments_exceeds_2_kb_errors_included(world: World) -> None:
    key = "ключ" * 32
    rows = [{**row(f"{n:03} {key}"[:128], HOSTILE * 3), "note": HOSTILE} for n in range(200)]
    sizes: dict[str, int] = {}
    async with world.client() as client:

        async def measure(label: str, tool: str, **arguments: Any) -> None:
            reply = await client.call_tool(tool, arguments)
            structured = json.dumps(reply.structured_content, ensure_ascii=False, separators=(",", ":"))
            sizes[label] = max(len(text_of(reply).encode()), len(structured.encode()))

        good, bad = world.write("a.jsonl", rows), world.write("b.jsonl", (HOSTILE + "\n") * 300)
        for number in range(25):
            name = world.write(f"{number} {'long' * 40}.jsonl", [row(str(number))])
            await finish(client, await start(client, name))
        await measure("estimate", "estimate_cost", source=good, model=MODEL)
        await measure("estimate of nonsense", "estimate_cost", source=bad, model=MODEL)
        await measure("refused lines", "create_batch", source=bad, model=MODEL)
        await measure("refused cost", "create_batch", source=good, model=MODEL, max_cost_usd=0)
        await measure("unknown model", "create_batch", source=good, model=HOSTILE * 20)
        await measure("unknown path", "create_batch", source="x" * 10_000, model=MODEL)
        await measure("unknown job", "check_status", job_id=HOSTILE * 20)
        await measure("unknown argument", "check_status", **{HOSTILE * 20: 1})
        await measure("wrong type", "check_status", job_id="x", wait_s=HOSTILE * 50)
        job_id = await start(client, good, confirm=True)
        await measure("status", "check_status", job_id=job_id)
        await measure("built", "build_requests", output_path="built.jsonl", data="a.jsonl", prompt="{{ note }}")
        await measure("not built", "build_requests", output_path="c.jsonl", data="a.jsonl", prompt="{{ nope }}")
        await finish(client, job_id)
        await measure("finished", "check_status", job_id=job_id)
        await measure("results", "get_results", job_id=job_id)
        await measure("ok results", "get_results", job_id=job_id, outcome="ok")
        await measure("unknown key", "get_results", job_id=job_id, keys=[HOSTILE * 20])
        await measure("jobs", "list_jobs")
        await measure("cancelled", "cancel_job", job_id=job_id)
    assert {label: size for label, size in sizes.items() if size > DEFAULT_BYTES} == {}


async def test_no_answer_and_no_page_exceeds_40_kb_at_any_arguments(world: World) -> None:
    rows = [row(f"k{n}", HOSTILE * 60) for n in range(400)]
    await world.arm("row", match={"key": "^k7$"}, outcome="ok", output_chars=5_000_000)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", rows), confirm=True)
        await finish(client, job_id)
        for arguments in ({"limit": 200}, {"keys": [f"k{n}" for n in range(200)]}, {"keys": ["k7"]}, {"limit": 1}):
            reply = await client.call_tool("get_results", {"job_id": job_id, **arguments})
            assert len(text_of(reply).encode()) <= LARGEST_BYTES
        for path in ("", "/results", "/results?limit=200", "/results/k7", "/results/k8", "/report"):
            content = (await client.read_resource(f"batch://jobs/{job_id}{path}")).contents[0]
            assert isinstance(content, TextResourceContents)
            assert len(content.text.encode()) <= LARGEST_BYTES, path
        cut = await read(client, f"batch://jobs/{job_id}/results/k7")
        assert "results.jsonl" in cut["notice"]
        page = await call(client, "get_results", job_id=job_id, keys=["k7"])
        assert page["results"][0]["text"]
        assert len((await client.call_tool("list_jobs", {"limit": 200})).content) == 1
