"""What a job of 10,000 rows costs the agent that runs it, in tokens of the answers it has to read.

A token is four bytes. Counted is what a host shows its model: the text of an answer or its structured content, which
say the same (the larger one counts), and a line for each resource link. Not counted are the tools' own descriptions,
which have their budget in test_surface, and what the agent writes.
"""

import json
from typing import Any

import pytest
from mcp import Client
from mcp_types import ResourceLink

from tests.world import MODEL, World, call, finish, row, text_of

pytestmark = pytest.mark.anyio
ROWS, TOKENS = 10_000, 1_500
SAID = "Resource has been exhausted (e.g. check quota)."


class Meter:
    """Counts what the answers to a client's calls cost."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.bytes: dict[str, int] = {}

    async def call(self, step: str, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that answers, and note how much there is to read."""
        reply = await self._client.call_tool(tool, arguments)
        answer = reply.structured_content
        assert answer, text_of(reply)
        structured = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
        links = [f"[Resource link: {each.name}] {each.uri}" for each in reply.content if isinstance(each, ResourceLink)]
        shown = max(text_of(reply), structured, key=lambda text: len(text.encode()))
        self.bytes[step] = len("\n".join([shown, *links]).encode())
        return answer

    @property
    def tokens(self) -> float:
        """All of it."""
        return sum(self.bytes.values()) / 4


async def test_a_job_of_10_000_rows_costs_an_agent_no_more_than_1500_tokens(world: World) -> None:
    await world.arm("row", match={"key": "^review-000[0-9]7$"}, outcome="error", code=429, message=SAID)
    texts = (f"Is this review positive or negative? It came after {n} days and fits." for n in range(ROWS))
    rows = (row(f"review-{n:05}", text, max_output_tokens=256) for n, text in enumerate(texts))
    source = world.write("reviews.jsonl", rows)
    await world.set(queue_s=10)
    async with world.client() as client:
        meter = Meter(client)
        estimate = await meter.call("estimate", "estimate_cost", source=source, model=MODEL)
        assert estimate["requests"] == ROWS
        job_id = (await meter.call("create", "create_batch", source=source, model=MODEL, confirm=True))["job_id"]
        assert (await meter.call("status", "check_status", job_id=job_id))["state"] == "JOB_STATE_PENDING"
        await world.advance(11)
        await finish(client, job_id)
        status = await meter.call("status at the end", "check_status", job_id=job_id, wait_s=50)
        assert (status["counts"], status["cost_usd"]["actual"] > 0) == ({"ok": 9_990, "error": 10}, True)
        failed = await meter.call("failures", "get_results", job_id=job_id, outcome="not_ok")
        assert [line["key"] for line in failed["results"]] == [f"review-000{n}7" for n in range(10)]
        assert failed["results"][0]["error"]["message"] == SAID
        one = await meter.call("one row", "get_results", job_id=job_id, keys=["review-04711"])
        assert one["results"][0]["text"]
        written = await meter.call("export", "get_results", job_id=job_id, output_path="answers.jsonl")
        assert written["written"] == ROWS
    print({step: size // 4 for step, size in meter.bytes.items()}, meter.tokens)  # noqa: T201 - shown with pytest -s
    assert meter.tokens <= TOKENS, meter.bytes


async def test_the_answers_of_a_job_name_its_bill_and_where_its_pictures_are(world: World) -> None:
    rows = [row(f"p{n}", "A red square.", response_modalities=["IMAGE"]) for n in range(3)]
    async with world.client() as client:
        source = world.write("a.jsonl", rows)
        job_id = (await call(client, "create_batch", source=source, model="gemini-nano-banana-2.1"))["job_id"]
        status = await finish(client, job_id)
        page = await call(client, "get_results", job_id=job_id, keys=["p1"])
        assert page["cost_usd"]["actual"] == status["cost_usd"]["actual"] > 0
        assert page["results"][0]["media"][0]["uri"] == f"batch://jobs/{job_id}/media/p1/0"
