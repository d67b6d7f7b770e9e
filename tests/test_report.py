"""The report of a job: an agent reads it whole for a few hundred tokens, and a command makes the page for people."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from markdown_it import MarkdownIt
from mcp_types import TextResourceContents

from tests.test_cli import answer, run
from tests.world import World, call, finish, row, start

pytestmark = pytest.mark.anyio
MARKUP = (
    "</script><img src=x onerror=a()> [a](javascript:b()) ![c](http://d) `e` ``f`` **g** <h@i.j> http://k.l | # m\n# n"
)


async def report_of(world: World, rows: list[dict[str, Any]], name: str = "names") -> tuple[str, str]:
    """Run a job to its end; its id and its report."""
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", rows), name=name[:100], confirm=True)
        await finish(client, job_id)
        content = (await client.read_resource(f"batch://jobs/{job_id}/report")).contents[0]
    assert isinstance(content, TextResourceContents)
    return job_id, content.text


def markup(text: str) -> Iterator[str]:
    """What a reader of Markdown would make of a page, without words and code."""
    for token in MarkdownIt("gfm-like", {"html": True, "linkify": False}).parse(text):
        for inner in (token, *(token.children or [])):
            if inner.type not in ("text", "inline", "code_inline", "softbreak") and not inner.type.endswith("_close"):
                yield inner.type


async def test_failures_are_told_by_class_with_examples_and_what_to_do(world: World) -> None:
    await world.arm("row", match={"key": "7$"}, outcome="error", code=13, message="Internal error encountered.")
    await world.arm("row", match={"key": "3$"}, outcome="blocked", finish_reason="SAFETY")
    await world.arm("row", match={"key": "99$"}, outcome="max_tokens")
    job_id, text = await report_of(world, [row(f"k{n}", f"Prompt {n}") for n in range(100)])
    assert "rows: 100 (79 ok, 1 truncated, 10 blocked, 10 error)" in text
    cut = "The answer reached max_output_tokens and is cut; run it again with a larger one."
    kinds = [
        "- `blocked SAFETY`: 10 rows, would fail again; `Gemini blocked the prompt or the answer.`; e.g. `k3`, `k13`",
        "- `error 13`: 10 rows, may succeed when sent again; `Internal error encountered.`; e.g. `k7`, `k17`",
        f"- `truncated MAX_TOKENS`: 1 row, needs more output; `{cut}`; e.g. `k99`",
    ]
    assert [line for line in text.splitlines() if line in kinds] == kinds
    for rows in ("unfinished", "truncated"):
        assert f"resume_job(job_id='{job_id}', rows='{rows}')" in text
    assert "No model was called" in text
    assert len(text.encode()) <= 2_000


async def test_cost_tokens_and_time_are_those_of_the_job(world: World) -> None:
    await world.admin("POST", "/clock", {"freeze": True})
    await world.set(queue_s=100, run_s=1000)
    async with world.client() as client:
        source = world.write("a.jsonl", [row(f"k{n}") for n in range(60)])
        cost = (await call(client, "estimate_cost", source=source, model="gemini-3.8-flash"))["cost_usd"]
        job_id = await start(client, source)
        for seconds in (1, 150, 850, 150):
            await world.advance(seconds)
            status = await call(client, "check_status", job_id=job_id)
        content = (await client.read_resource(f"batch://jobs/{job_id}/report")).contents[0]
        await call(client, "get_results", job_id=job_id, output_path="out.jsonl")
    assert isinstance(content, TextResourceContents)
    used = [json.loads(line)["usage"] for line in (world.work / "out.jsonl").read_text().splitlines()]
    given, made = (sum(one[name] for one in used) for name in ("input_tokens", "output_tokens"))
    assert f"tokens: {given:,} in; {made:,} out" in content.text
    assert "time: 19 min 11 s (waiting at Gemini 2 min 31 s, running 16 min 40 s)" in content.text
    numbers = [float(each) for each in re.findall(r"\$([\d.]+)", content.text)]
    told = [status["cost_usd"]["actual"], cost["likely"], cost["low"], cost["likely_high"]]
    assert numbers == [pytest.approx(each, rel=0.06) for each in told]


async def test_foreign_words_are_neither_markup_nor_lines_of_their_own(world: World) -> None:
    await world.arm("row", match={"key": "k1"}, outcome="error", code=3, message=MARKUP + "\x1b[2J\u202e\x00")
    rows = [row(f"{key} {MARKUP[:90].strip()}") for key in ("k1", "k10")] + [row("b")]
    _, text = await report_of(world, rows, name=MARKUP)
    assert set(markup(text)) <= {"heading_open", "paragraph_open", "bullet_list_open", "list_item_open"}
    assert not set("\x1b\u202e\x00") & set(text)
    assert text.count("\n#") == 1, "the failures"
    assert "onerror" in text


async def test_a_report_is_short_however_many_ways_rows_fail(world: World) -> None:
    for code in range(40):
        rule = {"outcome": "error", "code": 1_000 + code, "message": "\u202e`\x1b" * 400}
        await world.arm("row", match={"key": f"^{code} "}, **rule)
    _, text = await report_of(world, [row(f"{n} {'ключ' * 60}"[:120]) for n in range(40)], name="\u202e`" * 400)
    assert len(text.encode()) <= 4_000
    assert re.search(r"- \d\d classes more, \d\d rows", text)


async def test_what_matches_no_request_came_twice_or_not_at_all_is_named(world: World) -> None:
    await world.arm("omit", key="^k5$")
    await world.arm("duplicate", key="^k6$")
    await world.arm("drop_key", key="^k7$")
    _, text = await report_of(world, [row(f"k{n}") for n in range(60)])
    assert "- 1 row came back that matches no request: `a row without a key`" in text
    assert "- 1 answer to a key that was answered before" in text
    assert (
        "- `missing`: 2 rows, may succeed when sent again; `No answer came back for this key.`; e.g. `k5`, `k7`" in text
    )
    assert "rows='missing'" in text


async def test_a_job_without_failures_has_nothing_to_say_of_them(world: World) -> None:
    _, text = await report_of(world, [row("a"), row("b")])
    assert "## " not in text
    assert "resume_job" not in text
    assert len(text.encode()) <= 800


async def test_rows_sent_again_raise_what_the_job_was_estimated_at(world: World) -> None:
    await world.arm("row", match={"key": "k1"}, outcome="error", code=13, times=1)
    async with world.client() as client:
        source = world.write("a.jsonl", [row("k1"), row("k2")])
        cost = (await call(client, "estimate_cost", source=source, model="gemini-3.8-flash"))["cost_usd"]
        job_id = await start(client, source)
        await finish(client, job_id)
        await call(client, "resume_job", job_id=job_id)
        await finish(client, job_id)
        content = (await client.read_resource(f"batch://jobs/{job_id}/report")).contents[0]
    assert isinstance(content, TextResourceContents)
    numbers = [float(each) for each in re.findall(r"\$([\d.]+)", content.text)]
    assert numbers[1:] == [pytest.approx(1.5 * cost[end], rel=0.06) for end in ("likely", "low", "likely_high")]


async def test_the_command_writes_one_page_whole_or_not_at_all(world: World) -> None:
    job_id, _ = await report_of(world, [row("a"), row("b")])
    told = answer(run(world, "report", job_id, "--json"))
    page = world.work / f"{job_id}-report.html"
    assert (told["output_path"], told["bytes"]) == (str(page), page.stat().st_size)
    first = page.read_text()
    assert run(world, "report", job_id).stdout.startswith(f"wrote   {page}\n")
    assert page.read_text() == first, "the same job is the same page"
    assert re.search(r"(href|src|url\()[=\"' ]*(https?:|//)", first) is None
    for wrong in ("none/page.html", "."):
        refused = run(world, "report", job_id, "--output", wrong)
        assert (refused.returncode, "Name a new file" in refused.stderr, refused.stdout) == (2, True, "")
    assert [path.name for path in world.work.iterdir() if "part" in path.name] == []


async def test_a_job_under_way_has_no_page_yet_and_one_that_failed_has(world: World) -> None:
    await world.arm("fail")
    failed, text = await report_of(world, [row("a")])
    assert "JOB_STATE_FAILED" in text
    assert run(world, "report", failed).returncode == 0
    await world.set(queue_s=1000)
    async with world.client() as client:
        job_id = await start(client, world.write("b.jsonl", [row("b")]))
    assert run(world, "report", job_id).returncode == 5
    assert run(world, "report", "job_none").returncode == 2
