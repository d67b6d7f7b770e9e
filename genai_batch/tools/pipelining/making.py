"""Making the stages of a pipeline: all are checked, and those that can be are priced, before the first is sent."""

import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from anyio import to_thread
from blake3 import blake3

from genai_batch.resources import pipelines
from genai_batch.resources.answers import Problem
from genai_batch.resources.errors import BatchError, InvalidRequests, LedgerError, OverBudget
from genai_batch.resources.pipelines import Pipeline, Stage
from genai_batch.resources.requests import Preflight
from genai_batch.resources.sources.selection import Selection
from genai_batch.tools.approval import Costs, Word, approve, caution_about, limit_of, lower
from genai_batch.tools.compiling import Ready, compiled, is_manifest
from genai_batch.tools.routing import How
from genai_batch.tools.starting import Draft, beside_of, drafted, first_of, outputs_of, preflight_of, record, relocate
from genai_batch.tools.workspace import Workspace

if TYPE_CHECKING:  # yaml, jinja2 and pathspec are for those who have a manifest
    from genai_batch.resources.sources.manifest import Plan
    from genai_batch.resources.sources.staged import Part, Staged


class Made(NamedTuple):
    """A stage that is checked and priced but not recorded; `first` is its first line, `warnings` were told."""

    found: Preflight
    draft: Draft
    first: dict[str, Any]
    warnings: tuple[Problem, ...]


class Asked(NamedTuple):
    """What the caller says of a pipeline, and what the user answered where they were asked."""

    name: str | None = None
    max_cost_usd: float | None = None
    confirm: bool = False
    again: bool = False
    word: Word | None = None


async def staged_in(
    workspace: Workspace, source: str, model: str | None, choice: Selection | None = None
) -> "Staged | None":
    """Read a manifest that makes a pipeline; None where the source makes one job.

    Raises:
        InvalidRequests: with everything that is wrong, by stage.
        BatchError: the source cannot be used.
    """
    path = workspace.path(source)
    if not is_manifest(path):
        return None
    from genai_batch.resources.sources import stages

    return await to_thread.run_sync(stages.read, path, model, choice, workspace.today)


@asynccontextmanager
async def made(workspace: Workspace, plan: "Plan", model: str, name: str) -> AsyncGenerator[Made]:
    """Make the requests of one stage and price them; what is not recorded by the end is removed.

    Raises:
        BatchError: the requests cannot be made.
    """
    lines = partial(_lines, workspace, plan, model)
    async with (
        preflight_of(workspace, lines) as found,
        drafted(workspace, found, name, How.of(found.about)) as draft,
    ):
        yield Made(found, draft, first_of(draft), found.about.warnings)


async def _lines(workspace: Workspace, plan: "Plan", model: str, folder: Path) -> Ready:
    await to_thread.run_sync(lambda: folder.mkdir(mode=0o700, parents=True, exist_ok=True))
    return await compiled(workspace, plan, model, None, folder / "stage.jsonl", is_sent=True)


@asynccontextmanager
async def checked(workspace: Workspace, staged: "Staged", name: str) -> AsyncGenerator[dict[int, Made]]:
    """Make every stage that reads from no other, and try those that do on a row that stands in for theirs.

    Raises:
        InvalidRequests: with everything that is wrong, by stage.
        BatchError: a stage cannot be made.
    """
    from genai_batch.resources.sources.stages import by_stage

    found: list[Problem] = []
    count, begun, rows = 0, dict[int, Made](), dict[int, dict[str, Any] | None]()
    async with AsyncExitStack() as stack:
        for number, part in enumerate(staged.parts):
            try:
                if part.reads is None:
                    doing = made(workspace, part.plan(staged), part.model, named(name, part.name))
                    begun[number] = await stack.enter_async_context(doing)
                    rows[number] = begun[number].first
                elif row := rows.get(part.reads):
                    rows[number] = await to_thread.run_sync(_tried, workspace, staged, number, row)
            except InvalidRequests as error:
                found, count = [*found, *by_stage(part.name, error)], count + error.count
            except LedgerError:
                raise
            except BatchError as error:
                found, count = [*found, Problem(problem=f"stage '{part.name}': {error}")], count + 1
        if found:
            raise InvalidRequests(staged.source, found, count)
        await to_thread.run_sync(_tell_shared, staged, begun)
        yield begun


def _tell_shared(staged: "Staged", begun: dict[int, Made]) -> None:
    """Name the outputs that several stages have, with what is told of the last."""
    from genai_batch.resources.sources.taken import shared

    if len(begun) < 2:
        return
    told = list(shared((staged.parts[number].name, outputs_of(each.draft)) for number, each in begun.items()))
    last = begun[max(begun)]
    last.found.findings.warnings[:0] = told
    begun[max(begun)] = last._replace(warnings=(*told, *last.warnings))


def _tried(workspace: Workspace, staged: "Staged", number: int, row: dict[str, Any]) -> dict[str, Any] | None:
    from genai_batch.resources.sources.standin import tried

    part = staged.parts[number]
    return tried(part.plan(staged), lambda path: workspace.path(str(path)), part.model, row)


def named(pipeline: str, stage: str) -> str:
    """What the job of a stage is called."""
    return f"{pipeline[:56]} · {stage}"


async def costs(workspace: Workspace, staged: "Staged", *, again: bool) -> Costs:
    """What the stages which begin at once may cost."""
    async with checked(workspace, staged, staged.name) as begun:
        return _costs(workspace, begun, again=again)


def _costs(workspace: Workspace, begun: dict[int, Made], *, again: bool) -> Costs:
    """What the stages may cost that were not run before."""
    new = [each.draft.price for each in begun.values() if again or not workspace.ledger.same(each.draft.job)]
    likely, most = sum(price.cost_usd.likely for price in new), sum(price.most for price in new)
    return Costs(likely, most, sum(price.cost_usd.high for price in new))


async def create(workspace: Workspace, staged: "Staged", asked: Asked) -> tuple[Pipeline, bool, tuple[Problem, ...]]:
    """Record a pipeline and the jobs of the stages that begin at once; nothing is sent yet.

    Returns it, whether it was there before, and what was told while it was made.

    Raises:
        InvalidRequests: with everything that is wrong, by stage.
        OverBudget: what begins at once may cost more than the limit.
    """
    name, now = asked.name or staged.name, workspace.now()  # jobs from then on are paid by this pipeline
    async with checked(workspace, staged, name) as begun:
        digest = await to_thread.run_sync(_digest, staged, begun)
        pipeline = _pipeline(workspace, staged, asked, digest)._replace(name=name[:100], created_at=now)
        warnings = tuple(warning for each in begun.values() for warning in each.warnings)
        if not asked.again and (known := pipelines.same(workspace.ledger, pipeline)):
            for each in begun.values():
                await to_thread.run_sync(relocate, workspace, each.draft)
            return known, True, warnings
        limit = limit_of(workspace, stated(staged, asked.max_cost_usd))
        caution = caution_about([each.draft.job for each in begun.values()], workspace.today)
        approved = partial(approve, limit=limit, confirm=asked.confirm, word=asked.word, caution=caution)
        budget = approved(_costs(workspace, begun, again=asked.again), stated=asked.max_cost_usd)
        if asked.confirm and asked.max_cost_usd is None:  # the manifest states what all stages may cost
            budget = max(budget, staged.max_cost_usd or 0)
        pipeline = pipeline._replace(budget=budget)
        _record(workspace, pipeline, staged, begun)
    return pipeline, False, warnings


def stated(staged: "Staged", asked: float | None) -> float | None:
    """The lower of the caller's limit and the manifest's."""
    return lower(asked, staged.max_cost_usd)


def _digest(staged: "Staged", begun: dict[int, Made]) -> str:
    """A digest of the stages, of the requests of those that begin at once, and of what stands beside these."""
    content = [[part.name, part.value, part.model, part.reads] for part in staged.parts]
    made_of = [[each.draft.job.digest, beside_of(each.draft)] for each in begun.values()]
    return blake3(json.dumps([content, made_of], sort_keys=True).encode()).hexdigest()


def _pipeline(workspace: Workspace, staged: "Staged", asked: Asked, digest: str) -> Pipeline:
    """The pipeline to be, before what it may cost is approved."""
    return Pipeline(
        id=pipelines.new_id(), name=staged.name, source=staged.source, base=str(staged.base) if staged.base else None,
        digest=digest, again=asked.again, budget=0,
        backend=workspace.backend, account=workspace.lane.gemini.account, created_at=workspace.now(),
    )  # fmt: skip


def _stage(number: int, part: "Part") -> Stage:
    lane, outcome = part.value.get("lane") or "batch", part.value.get("outcome", "ok")
    return Stage(number, part.name, part.model, lane, outcome, part.reads)


def _record(workspace: Workspace, pipeline: Pipeline, staged: "Staged", begun: dict[int, Made]) -> None:
    """Write everything down: the pipeline at once with its first job, so that there is neither without the other."""
    rows = [(_stage(number, part), json.dumps(part.value)) for number, part in enumerate(staged.parts)]
    for number, each in begun.items():
        is_first = number == min(begun)

        def also(db: Any, job: Any, number: int = number, *, is_first: bool = is_first) -> None:
            if is_first:
                pipelines.insert(db, pipeline, rows)
            pipelines.link(db, job, pipeline=pipeline, number=number, confirm=False)

        try:
            record(workspace, each.draft, again=pipeline.again, also=also)
        except OverBudget:  # the day's limit; a later stage waits for another day
            if is_first:
                raise
            pipelines.note(workspace.ledger, pipeline, rows[number][0], price=each.draft.price.most, trouble=None)
