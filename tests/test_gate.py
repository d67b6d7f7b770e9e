"""Nothing is sent above the limits: the user is asked where that is possible, and a day's limit holds for all jobs."""

import json
from typing import Any, Literal

import anyio
import pytest
from mcp_types import ElicitRequestParams, ElicitResult

from tests.world import MODEL, Era, World, call, finish, refusal, row, start

pytestmark = pytest.mark.anyio
ROWS = [row(f"k{n}", max_output_tokens=1_000) for n in range(100)]
"""About 0.1 USD at most."""
Action = Literal["accept", "decline", "cancel"]


class User:
    """A person at a host that can ask."""

    def __init__(self, action: Action, *, approve: bool = True) -> None:
        self.action: Action = action
        self.approve, self.asked = approve, list[str]()

    async def __call__(self, _context: Any, params: ElicitRequestParams) -> ElicitResult:
        self.asked.append(params.message)
        return ElicitResult(action=self.action, content={"approve": self.approve} if self.action == "accept" else None)


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_user_who_can_be_asked_approves_and_the_job_starts(world: World, era: Era) -> None:
    user = User("accept")
    async with world.client(era, elicitation_callback=user, max_cost_usd=0.01) as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        assert (await finish(client, job_id))["counts"] == {"ok": 100}
    assert len(user.asked) == 1
    assert "above your limit of $0.01" in user.asked[0]


@pytest.mark.parametrize("era", ["auto", "legacy"])
@pytest.mark.parametrize(
    ("user", "said"),
    [
        (User("decline"), "declined"),
        (User("cancel"), "cancelled, or the host could not show it"),
        (User("accept", approve=False), "declined"),
    ],
    ids=["declined", "cancelled", "unticked"],
)
async def test_anything_but_a_yes_is_no_approval(world: World, era: Era, user: User, said: str) -> None:
    source = world.write("a.jsonl", ROWS)
    async with world.client(era, elicitation_callback=user, max_cost_usd=0.01) as client:
        told = await refusal(client, "create_batch", source=source, model=MODEL)
        assert (said in told, "confirm=true" in told, "Nothing was sent" in told) == (True, True, True)
        assert await world.calls() == []
        assert (await call(client, "create_batch", source=source, model=MODEL, confirm=True))["job_id"]


async def test_a_host_that_cannot_ask_is_told_of_the_argument(world: World) -> None:
    async with world.client(max_cost_usd=0.01) as client:
        told = await refusal(client, "create_batch", source=world.write("a.jsonl", ROWS), model=MODEL)
    assert "confirm=true" in told
    assert await world.calls() == []


async def test_nobody_is_asked_about_what_is_cheap_wrong_known_or_confirmed(world: World) -> None:
    user = User("accept")
    source = world.write("a.jsonl", ROWS)
    async with world.client(elicitation_callback=user) as client:
        job_id = await start(client, source)
    async with world.client(elicitation_callback=user, max_cost_usd=0.01) as client:
        assert (await call(client, "create_batch", source=source, model=MODEL))["job_id"] == job_id
        await refusal(client, "create_batch", source=world.write("b.jsonl", "{"), model=MODEL)
        await start(client, source, confirm=True, again=True)
    assert user.asked == []


@pytest.mark.parametrize("is_staged", [False, True])
async def test_the_user_is_asked_about_the_limit_of_the_manifest_too(world: World, *, is_staged: bool) -> None:
    user = User("accept")
    world.write("a.csv", "n\n" + "".join(f"{n}\n" for n in range(100)))
    part: dict[str, Any] = {"data": "a.csv", "key": "k{{ n }}", "prompt": "Say {{ n }}."}
    stages: dict[str, Any] = {
        "stages": [{"name": "one", **part}, {"name": "two", "from": "one", "prompt": "{{ text }}"}]
    }
    whole = {"model": MODEL, "max_output_tokens": 1_000, "max_cost_usd": 0.01, **(stages if is_staged else part)}
    source = world.write("a.json", json.dumps(whole))
    async with world.client(elicitation_callback=user) as client:
        await call(client, "create_batch", source=source, max_cost_usd=1)
    assert len(user.asked) == 1
    assert "above your limit of $0.01" in user.asked[0]


async def test_a_file_that_became_dearer_after_the_yes_is_not_sent(world: World) -> None:
    source = world.write("a.jsonl", ROWS)

    class Slow(User):
        async def __call__(self, _context: Any, params: ElicitRequestParams) -> ElicitResult:
            world.write("a.jsonl", ROWS + [row(f"more{n}", max_output_tokens=1_000) for n in range(100)])
            return await super().__call__(_context, params)

    async with world.client("legacy", elicitation_callback=Slow("accept"), max_cost_usd=0.01) as client:
        assert "dearer" in await refusal(client, "create_batch", source=source, model=MODEL)
    assert await world.calls() == []


async def test_rows_sent_again_are_asked_about_too(world: World) -> None:
    await world.arm("expire", after_s=0)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
    async with world.client(elicitation_callback=User("decline"), max_cost_usd=0.01) as client:
        assert "declined" in await refusal(client, "resume_job", job_id=job_id)
    async with world.client(elicitation_callback=(user := User("accept")), max_cost_usd=0.01) as client:
        await call(client, "resume_job", job_id=job_id)
        assert (await finish(client, job_id))["counts"] == {"ok": 100}
    assert len(user.asked) == 1


def several(world: World, count: int) -> list[str]:
    """Sources that cost about the same."""
    rows = [[row(f"{n}-{i}", max_output_tokens=1_000) for i in range(100)] for n in range(count)]
    return [world.write(f"{n}.jsonl", each) for n, each in enumerate(rows)]


async def most_of(world: World, source: str) -> float:
    """What a source costs at most."""
    async with world.client() as client:
        return (await call(client, "estimate_cost", source=source, model=MODEL))["cost_usd"]["high"]


@pytest.mark.parametrize("confirm", [True, False])
async def test_two_jobs_at_once_cannot_together_pass_the_limit_of_a_day(world: World, confirm: bool) -> None:
    sources = several(world, 2)
    limit = 1.5 * await most_of(world, sources[0])
    await world.set(queue_s=1_000)
    said = list[dict[str, Any]]()

    async def create(source: str) -> None:
        async with world.client(max_cost_usd_per_day=limit) as client:
            arguments = {"source": source, "model": MODEL, "confirm": confirm}
            reply = await client.call_tool("create_batch", arguments)
            said.append({"refused": reply.is_error, "text": str(reply.content)})

    async with anyio.create_task_group() as tasks:
        for source in sources:
            tasks.start_soon(create, source)
    refused = [each["text"] for each in said if each["refused"]]
    assert len(refused) == 1
    assert "GENAI_BATCH_MAX_COST_USD_PER_DAY" in refused[0]
    assert len(await world.bill()) == 1
    assert len(list((world.home / "jobs").iterdir())) == 1, "nothing is left of the refused job"


async def test_what_a_job_did_not_use_is_given_back_and_the_next_day_is_a_new_one(world: World) -> None:
    sources = several(world, 4)
    limit = 1.5 * await most_of(world, sources[0])
    async with world.client(max_cost_usd_per_day=limit) as client:
        await finish(client, await start(client, sources[0]))
        await world.set(queue_s=1_000)
        await start(client, sources[1])
        assert "today" in await refusal(client, "create_batch", source=sources[2], model=MODEL)
        world.time += 86_400
        await start(client, sources[2])


async def test_a_job_that_was_never_accepted_gives_everything_back(world: World) -> None:
    sources = several(world, 2)
    limit = 1.1 * await most_of(world, sources[0])
    await world.arm("http_error", call="create", code=400)
    async with world.client(max_cost_usd_per_day=limit) as client:
        await refusal(client, "create_batch", source=sources[0], model=MODEL)
        await start(client, sources[1])


@pytest.mark.parametrize("count", ["8", 8.0, 8])
async def test_a_number_is_a_number_however_it_is_written(world: World, count: Any) -> None:
    rows = [row(f"k{n}", candidate_count=count, max_output_tokens=1_000) for n in range(20)]
    single = [row(f"k{n}", max_output_tokens=1_000) for n in range(20)]
    eight, one = (
        await most_of(world, world.write("8.jsonl", rows)),
        await most_of(world, world.write("1.jsonl", single)),
    )
    assert eight > 6 * one


async def test_nobody_is_asked_about_what_the_limit_of_the_day_refuses_anyway(world: World) -> None:
    user = User("accept")
    async with world.client(elicitation_callback=user, max_cost_usd=0.01, max_cost_usd_per_day=0.01) as client:
        said = await refusal(client, "create_batch", source=world.write("a.jsonl", ROWS), model=MODEL)
    assert (user.asked, "Nothing was sent" in said) == ([], True)


def test_settings_are_read_and_refused(tmp_path: Any) -> None:
    from genai_batch.resources.errors import BatchError
    from genai_batch.server.settings import Settings

    given = {"GENAI_BATCH_HOME": str(tmp_path), "GENAI_BATCH_MAX_COST_USD_PER_DAY": "12.5"}
    assert Settings.read(given).max_cost_usd_per_day == 12.5
    assert Settings.read({"GENAI_BATCH_HOME": str(tmp_path)}).max_cost_usd_per_day is None
    with pytest.raises(BatchError, match="PER_DAY"):
        Settings.read({**given, "GENAI_BATCH_MAX_COST_USD_PER_DAY": "a lot"})
