"""`max_output_tokens` as an argument is set in rows that have none; the others stay byte for byte as they are."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from genai_batch.resources.output_limits import set_limit, write
from tests.world import MODEL, World, call, finish, refusal, row, start

pytestmark = pytest.mark.anyio
ASKED = '{"contents":[{"parts":[{"text":"h\\u00e9"}]}],"generationConfig":{"maxOutputTokens":"77"}}'
OWN = f'{{ "key":"own" ,"request":{ASKED}}}'


@pytest.mark.parametrize(
    ("request_", "limited"),
    [
        ({"contents": []}, {"generation_config": {"max_output_tokens": 9}}),
        ({"contents": [], "systemInstruction": {}}, {"generationConfig": {"maxOutputTokens": 9}}),
        ({"generationConfig": {"topP": 1}}, {"generationConfig": {"topP": 1, "maxOutputTokens": 9}}),
        ({"generationConfig": {"top_p": 1}}, {"generationConfig": {"top_p": 1, "max_output_tokens": 9}}),
        ({"generationConfig": {"seed": 1}}, {"generationConfig": {"seed": 1, "max_output_tokens": 9}}),
        ({"generation_config": None}, {"generation_config": {"max_output_tokens": 9}}),
        ({"generation_config": {"maxOutputTokens": None}}, {"generation_config": {"maxOutputTokens": 9}}),
        ({"generation_config": {"max_output_tokens": 5}}, {"generation_config": {"max_output_tokens": 5}}),
        ({"content": {}}, {}),
    ],
)
def test_a_limit_is_written_in_the_spelling_of_the_request(request_: dict[str, Any], limited: dict[str, Any]) -> None:
    before = json.dumps(request_)
    changed = set_limit(request_, 9)
    assert request_ == json.loads(before) | limited
    assert changed == (json.dumps(request_) != before)


def test_rows_that_have_a_limit_stay_byte_for_byte(tmp_path: Path) -> None:
    source, target = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    lines = ["\ufeff" + OWN, "", json.dumps({**row("k", "naïve"), "note": {"x": 1}}), OWN.replace("own", "last")]
    source.write_bytes("\r\n".join(lines).encode())
    assert write(source, target, 500)
    first, blank, changed, last = target.read_bytes().split(b"\n")
    assert (first, blank, last) == (lines[0].encode() + b"\r", b"\r", lines[3].encode())
    told = json.loads(changed)
    assert told["request"].pop("generation_config") == {"max_output_tokens": 500}
    assert told == json.loads(lines[2])
    assert not write(target, source, 500)
    assert source.read_bytes() == target.read_bytes()


async def test_a_job_with_a_limit_is_another_job_and_one_whose_rows_have_theirs_is_the_same(world: World) -> None:
    free, own = world.write("a.jsonl", [row("k")]), world.write("b.jsonl", OWN + "\n")
    async with world.client() as client:
        plain = await start(client, free)
        limited = await start(client, free, max_output_tokens=900)
        assert plain != limited != await start(client, free, max_output_tokens=901)
        assert limited == await start(client, free, max_output_tokens=900)
        assert await start(client, own) == await start(client, own, max_output_tokens=900)
        await finish(client, limited)
        bound = await start(client, free, max_output_tokens=900, check_binding=True)
        assert (await finish(client, bound))["counts"] == {"ok": 1}
    sent = (world.home / "jobs" / bound / "requests.jsonl").read_text()
    assert '"max_output_tokens":900' in sent
    assert "[ref: " in sent
    assert (world.work / free).read_text() == json.dumps(row("k")) + "\n"


async def test_a_manifest_its_own_limit_stands_and_stages_state_theirs(world: World) -> None:
    world.write("t.csv", "n\n1\n2\n")
    plan: dict[str, Any] = {"data": "t.csv", "key": "k{{ n }}", "prompt": "Say {{ n }}.", "model": MODEL}
    async with world.client() as client:
        free = await call(client, "estimate_cost", source=world.write("m.json", json.dumps(plan)), max_output_tokens=50)
        assert free["output_tokens"]["high"] == 2 * 50
        own = world.write("own.json", json.dumps({**plan, "max_output_tokens": 70}))
        found = await call(client, "estimate_cost", source=own, max_output_tokens=50)
        assert found["output_tokens"]["high"] == 2 * 70
        staged = {"stages": [{"name": "one", **plan}, {"name": "two", "from": "one", "prompt": "x"}], "model": MODEL}
        source = world.write("s.json", json.dumps(staged))
        for tool in ("estimate_cost", "create_batch"):
            assert "of one job" in await refusal(client, tool, source=source, max_output_tokens=50)


async def test_a_bad_file_is_told_by_its_own_lines(world: World) -> None:
    twice = '{"key": "a", "request": {"contents": [{"parts": [{"text": "x"}]}], "labels": {"a": "1", "a": "2"}}}\n'
    source = world.write("a.jsonl", json.dumps(row("k")) + "\n" + twice + "nonsense\n")
    async with world.client() as client:
        plain = await call(client, "estimate_cost", source=source, model=MODEL)
        limited = await call(client, "estimate_cost", source=source, model=MODEL, max_output_tokens=9)
        assert [each["line"] for each in limited["problems"]] == [2, 3]
        assert limited["problems"] == plain["problems"]
        said = await refusal(client, "create_batch", source=source, model=MODEL, max_output_tokens=0)
        assert "greater than or equal to 1" in said


async def test_what_changed_since_a_job_is_not_asked_with_a_limit_that_hides_it(world: World) -> None:
    world.write("t.csv", "n\n1\n2\n")
    plan = {"data": "t.csv", "key": "k{{ n }}", "prompt": "Say {{ n }}.", "model": MODEL}
    async with world.client() as client:
        job_id = await start(client, world.write("m.json", json.dumps(plan)))
        await finish(client, job_id)
        world.write("t.csv", "n\n1\n2\n3\n")
        later = world.write("n.json", json.dumps({**plan, "select": {"changed_since": job_id}}))
        said = await refusal(client, "create_batch", source=later, max_output_tokens=9)
        assert "State max_output_tokens in the source" in said


async def test_the_commands_take_the_option(world: World) -> None:
    source = world.write("a.jsonl", [row("k")])
    options = [source, "--model", MODEL, "--max-output-tokens", "123", "--json"]
    for command in ("estimate", "create", "run"):
        done = subprocess.run(
            [sys.executable, "-m", "genai_batch", command, *options],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=world.work,
            env=world.env(),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        if command == "estimate":
            assert told["output_tokens"]["high"] == 123
        else:
            sent = (world.home / "jobs" / told["job_id"] / "requests.jsonl").read_text()
            assert '"generation_config":{"max_output_tokens":123}' in sent
