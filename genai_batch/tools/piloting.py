"""A pilot: some rows, drawn by size and by a seed from the content, run as a small job that tells what all will cost.

Asked for twice it is the same small job, so its answers are paid once; its rows are paid again when the whole job runs.
One that told nothing is sent anew when it is asked for again after that was said.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from math import floor, inf
from pathlib import Path
from typing import NamedTuple

import anyio
import msgspec
from anyio import to_thread

from genai_batch.resources import charges, jobs, outcomes, projection, strata
from genai_batch.resources.answers import dollars
from genai_batch.resources.errors import BatchError, NotFinished, OverBudget
from genai_batch.resources.estimates import Bill, Estimate, PilotRun, other_lane, piloted
from genai_batch.resources.jobs import BROKEN, LIMITS, Job
from genai_batch.resources.ledger import Told
from genai_batch.resources.local_files import LocalFiles
from genai_batch.resources.models import Model
from genai_batch.resources.prices import Fallback, Lane, ServiceTier, Usage
from genai_batch.resources.projection import Measured, Projection
from genai_batch.resources.requests import Preflight
from genai_batch.resources.results import Results, read_results
from genai_batch.resources.row_sizes import RowSizes
from genai_batch.resources.shapes import named_tier
from genai_batch.resources.sources.settings import Settings
from genai_batch.resources.strata import Stratum
from genai_batch.resources.tokens.counting import of_request
from genai_batch.resources.tokens.media import unseen
from genai_batch.resources.untyped import as_object, field
from genai_batch.tools.approval import expected, lifts_limit, priced
from genai_batch.tools.routing import AS_BATCH, How
from genai_batch.tools.starting import Draft, drafted, record, same
from genai_batch.tools.workspace import Workspace

CAP_USD = 0.5
"""What a pilot may probably cost, unless the caller says what it may cost at most."""
WAIT_S = 30
"""Seconds to wait for its answers before the caller is told to come again."""
_TOLD_NOTHING = "told nothing: too few rows came back well"


class Pilot(NamedTuple):
    """What to run: so many rows, at most for so many USD, the lane of the whole job, and how the pilot itself runs.

    `fallback` is that of the whole job.
    """

    rows: int
    most: float
    lane: Lane
    how: How = AS_BATCH
    likely_most: float = inf
    """USD that it may probably cost, where nobody stated what it may cost at most."""
    fallback: Fallback | None = None


class _Drawn(NamedTuple):
    """The rows of a pilot: their file, and the strata that they were drawn by, the largest rows first."""

    path: Path
    strata: list[Stratum]

    @property
    def stratum_by_row(self) -> list[int]:
        """Which stratum each row of the file was drawn from."""
        pairs = [(number, place) for place, stratum in enumerate(self.strata) for number in stratum.drawn]
        return [place for _, place in sorted(pairs)]


class _Begun(NamedTuple):
    """The job of a pilot, how its rows were drawn, and a word on an earlier pilot that it takes the place of."""

    job: Job
    drawn: _Drawn
    said: str = ""


class _Answered(NamedTuple):
    """A row of the pilot that came back: its stratum, tokens of input expected, tokens used, tool fees and tier."""

    stratum: int
    expected: float
    used: Usage
    thinking: int
    fees: float
    tier: ServiceTier | None


async def run(workspace: Workspace, found: Preflight, pilot: Pilot) -> Estimate:
    """Run a pilot of a source, or look how it is, and estimate the source from what it cost.

    Raises:
        OverBudget: the pilot itself may cost too much, or its limit has stopped it.
        PilotFailed: it has stopped or ended, with the reason and the remedy.
        BatchError: the source has too few rows for one.
        InvalidRequests: with every problem found.
    """
    async with drafted(workspace, found, found.source.stem[:100]) as whole:
        begun = await _begun(workspace, found, whole, pilot)
    told = await _outcome(workspace, found, begun, pilot)
    return told.model_copy(update={"next": f"{begun.said}{told.next}"})


async def before(workspace: Workspace, found: Preflight, whole: Draft, pilot: Pilot) -> str:
    """Run a pilot of a job that is not recorded yet, unless one has told its cost before; say what it told.

    What `priced` says of the job from then on is what the pilot told.

    Raises:
        PilotRuns: it is not over yet.
        PilotFailed: it has stopped or ended, with the reason and the remedy.
        OverBudget: the pilot itself may cost too much, or its limit has stopped it.
        BatchError: the source has too few rows for one, or too few came back well.
    """
    if _has_told(workspace, found, pilot):
        return "The cost is what an earlier pilot of it told."
    begun = await _begun(workspace, found, whole, pilot)
    told = await _outcome(workspace, found, begun, pilot)
    job = workspace.ledger.job(begun.job.id)
    if not job.is_over:
        raise PilotRuns(job)
    if not _has_told(workspace, found, pilot):
        raise BatchError(f"{begun.said}{told.next} Only the pilot was sent.")
    guessed = dollars(whole.price.cost_usd.likely)
    paid = f"{begun.said}The pilot {job.id} of {job.requests} rows cost {dollars(job.cost or 0)}."
    unseen = told.pilot.unseen if told.pilot else ""
    return f"{paid} All rows: {expected(told)}; {guessed} was estimated. {unseen or ''}".strip()


class PilotRuns(NotFinished):
    """A pilot goes on after the call that began it, or later by itself, and nothing else was sent."""

    def __init__(self, job: Job) -> None:
        """Name its job, and say what holds that up."""
        super().__init__(f"{_running_words(job)} Only it was sent. Call again with the same arguments to go on.")
        self.job_id = job.id


class PilotFailed(BatchError):
    """A pilot was refused or broken off, and nothing else was sent."""

    exit_code = 4


def need_good_end(workspace: Workspace, job_id: str) -> None:
    """Refuse to go on after a pilot that was waited for and has not ended well.

    Raises:
        OverBudget: its limit has stopped it.
        PilotFailed: something else has, or it was broken off.
        PilotRuns: it goes on by itself, but later than anybody waits.
    """
    job = workspace.ledger.job(job_id)
    _refuse_stopped(workspace, job)
    if job.state in BROKEN:
        raise PilotFailed(_ended_words(job))
    if not job.is_over:
        raise PilotRuns(job)


def _refuse_stopped(workspace: Workspace, job: Job) -> None:
    """Say why a pilot has stopped until it is resumed, where it has."""
    snapshot = workspace.ledger.snapshot(job.id)
    if not workspace.lane.is_stopped(snapshot):
        return
    notice = workspace.lane.stand(snapshot).notice or ""
    words = f"The pilot {job.id} has stopped. {notice} Only the pilot was sent. Once that is mended, call again with"
    words = f"{words} the same arguments to go on."
    raise (OverBudget if jobs.stopped_by(*snapshot) in LIMITS else PilotFailed)(words)


def _ended_words(job: Job) -> str:
    state = job.state.removeprefix("JOB_STATE_")
    words = f"The pilot {job.id} has ended ({state}). {job.notice or ''}".strip()
    return f"{words} Only the pilot was sent. Call again with the same arguments to send it anew."


def _running_words(job: Job) -> str:
    return f"The pilot {job.id} runs. {job.notice}" if job.notice else f"The pilot {job.id} runs."


def _has_told(workspace: Workspace, found: Preflight, pilot: Pilot) -> bool:
    """Whether a pilot of no fewer rows has told what a source costs."""
    told = workspace.ledger.pilot_of(found.digest, found.model.name, pilot.lane, workspace.backend)
    return told is not None and told.rows >= pilot.rows


async def _begun(workspace: Workspace, found: Preflight, whole: Draft, pilot: Pilot) -> _Begun:
    """Draw the rows of a pilot and record its job, or find the one that is the same; what told nothing is sent anew."""
    if found.requests < 2 * pilot.rows:
        raise BatchError(f"{found.source.name} has {found.requests} rows: too few for a pilot of {pilot.rows}.")
    drawn = await to_thread.run_sync(_drawn, whole, pilot.rows, found.model)
    cut, about = workspace.cut_for(found.model.name), Settings(files=found.about.files)
    part = Preflight(drawn.path, found.model, cut, is_bound=found.is_bound, about=about)
    async with drafted(workspace, part, f"pilot of {found.source.stem[:80]}", pilot.how) as draft:
        draft = draft._replace(job=draft.job.model_copy(update={"pilot_of": whole.job.digest}))
        earlier, paid_for_pilots = (
            await same(workspace, draft.job),
            partial(workspace.ledger.paid_for_pilots, whole.job),
        )
        if earlier is None:
            return _Begun(_recorded(workspace, draft, pilot, paid_for_pilots()), drawn)
        if not workspace.ledger.is_noted(earlier, _TOLD_NOTHING):
            await _wake(workspace, earlier, pilot.most - paid_for_pilots(but=earlier.id))
            return _Begun(earlier, drawn)
        job = _recorded(workspace, draft, pilot, paid_for_pilots(), again=True)
        word = f"An earlier pilot, {earlier.id}, told nothing, so that it was sent anew as {job.id}. "
        return _Begun(job, drawn, word)


async def _wake(workspace: Workspace, job: Job, limit: float) -> None:
    """Let a pilot that has stopped go on: it is asked for again, so that what has stopped it may be mended."""
    is_stopped = workspace.lane.is_stopped(workspace.ledger.snapshot(job.id))
    if is_stopped and lifts_limit(workspace, job, confirm=False, limit=limit):
        await workspace.lane.wake(job)


async def _outcome(workspace: Workspace, found: Preflight, begun: _Begun, pilot: Pilot) -> Estimate:
    """Wait a while for a pilot, and estimate the source from what it cost."""
    job = await _awaited(workspace, begun.job)
    _refuse_stopped(workspace, job)
    price = await to_thread.run_sync(priced, workspace, found, pilot.lane, pilot.fallback)
    guess = price.model_copy(update={"next": _next(job)})
    if not job.is_over:
        return piloted(guess, _told(job))
    answered = await to_thread.run_sync(_answers, workspace, found, begun._replace(job=job))
    if len(answered) < projection.LEAST:
        workspace.ledger.note(job, _TOLD_NOTHING, workspace.now())
        if job.state in BROKEN:
            raise PilotFailed(_ended_words(job))
        said = f"Too few rows of the pilot came back well to tell anything: get_results(job_id='{job.id}'). "
        said += "Call again with the same arguments to send the pilot anew."
        return piloted(guess.model_copy(update={"next": said}), _told(job))
    lanes = (pilot.lane, other_lane(pilot.lane))
    here, there = (_projected(answered, begun.drawn, Bill(found, lane, workspace.today)) for lane in lanes)
    for lane, told in zip(lanes, (here, there), strict=True):
        known = Told(found.digest, found.model.name, lane, workspace.backend, *told.cost_usd, job.requests)
        workspace.ledger.note_pilot(known, workspace.now())
    if pilot.fallback:
        here = here._replace(cost_usd=here.cost_usd._replace(high=there.cost_usd.high))
    return piloted(guess, _told(job, _unseen(begun.drawn.strata, answered)), here, there)


def _drawn(whole: Draft, rows: int, model: Model) -> _Drawn:
    """Write rows drawn by their sizes to a file of their own; the same content gives the same rows."""
    requests, target = whole.folder / "requests.jsonl", _path(whole, rows)
    with requests.open("rb") as file, LocalFiles.beside(requests) or nullcontext() as files:
        sizes = RowSizes(model, files.seen if files else unseen)
        drawn = strata.draw(map(sizes.of_line, file), rows, whole.job.digest)
    numbers = frozenset(number for stratum in drawn for number in stratum.drawn)
    with requests.open("rb") as file, target.open("wb") as out:
        out.writelines(line for number, line in enumerate(file) if number in numbers)
    return _Drawn(target, drawn)


def _path(whole: Draft, rows: int) -> Path:
    """Where the rows of a pilot of so many lie as long as the draft does."""
    return whole.folder / f"pilot-{rows}.jsonl"


def _recorded(workspace: Workspace, draft: Draft, pilot: Pilot, paid: float, *, again: bool = False) -> Job:
    """Record a pilot within what earlier ones, which did cost `paid` USD, have left."""
    price, left = draft.price, max(0.0, pilot.most - paid)
    likely_most = min(left, pilot.likely_most)
    earlier = f" that earlier pilots have left of {dollars(pilot.most)}" if paid else ""
    for high, limit in ((price.likely_range.high, likely_most), (price.most, left)):
        if not high <= limit:
            raise OverBudget(
                f"The pilot of {draft.job.requests} rows may cost {dollars(high)}, more than {dollars(limit)}"
                f"{earlier}. Nothing was sent. Ask for fewer rows, or state max_cost_usd (`--max-cost-usd`) within the "
                "user's limit."
            )
    return record(workspace, draft, again=again, allowed=left)


async def _awaited(workspace: Workspace, job: Job) -> Job:
    with anyio.move_on_after(WAIT_S):
        while not job.is_over and not workspace.lane.rests(job):
            (job, _), _ = await workspace.look(workspace.ledger.snapshot(job.id))
            await anyio.sleep(0 if job.is_over else min(1.0, max(0.01, workspace.lane.pace.fresh)))
    return workspace.ledger.job(job.id)


def _told(job: Job, unseen: str | None = None) -> PilotRun:
    return PilotRun(job_id=job.id, state=job.state, rows=job.requests, cost_usd=job.cost, unseen=unseen)


def _unseen(drawn: list[Stratum], answered: list[_Answered]) -> str | None:
    """Say how rare a kind of row may be that is not in the pilot; None where all rows are."""
    rows = Counter(answer.stratum for answer in answered)
    if len(drawn) == 1:
        return f"A kind of row rarer than {_rarity(rows[0])} may not be in it." if rows[0] < drawn[0].rows else None
    run, kinds, missing = list[str](), list[str](), list[str]()
    for place, stratum in enumerate(drawn):
        run.append(f"{rows[place]} of {stratum.rows:,}")
        if not rows[place]:
            missing.append(f"No row of these {stratum.rows:,} came back well: they count as rows of the next size.")
        elif rows[place] < stratum.rows:
            kinds.append(f"{_rarity(rows[place])} of these {stratum.rows:,}")
    if kinds:
        missing.append(f"A kind of row rarer than {', '.join(kinds)} may not be in it.")
    return " ".join([f"It is {', '.join(run)} rows by their size, the largest first.", *missing])


def _rarity(rows: int) -> str:
    """How often a kind of row has to occur to be among so many rows at 95 %."""
    share = strata.unseen_share(rows)
    return f"1 in {floor(1 / share)}" if share <= 1 / 2 else f"{share:.0%}"


def _next(job: Job) -> str:
    if not job.is_over:
        return f"{_running_words(job)} Then call again with the same arguments to see what it tells."
    return "create_batch with the same source and model; only the pilot was sent yet."


def _projected(answered: list[_Answered], drawn: _Drawn, bill: Bill) -> Projection:
    """What the rows that came back say of all rows, in the lane of a bill."""
    whole = bill.whole._replace(strata=tuple(stratum.rows for stratum in drawn.strata))
    projected = projection.project([_measured(row, bill) for row in answered], whole)
    bound = max(bill.bound().usd, projected.cost_usd.likely)
    return projected._replace(cost_usd=projected.cost_usd.at_most(bound))


def _answers(workspace: Workspace, found: Preflight, begun: _Begun) -> list[_Answered]:
    """The rows of the pilot that came back well."""
    by_row = begun.drawn.stratum_by_row
    return read_results(workspace.home, begun.job, lambda results: list(_answered(results, found, by_row)))


def _answered(results: Results, found: Preflight, stratum_by_row: list[int]) -> Iterator[_Answered]:
    """What each row of the pilot was expected to take, and took."""
    requests = jobs.requests_of(results.folder)
    with requests.open("rb") as file, LocalFiles.beside(requests) or nullcontext() as files:
        see = files.seen if files else unseen
        entries = results.page(None, 0, 1_000)
        for line, entry, stratum in zip(file, entries, stratum_by_row, strict=True):
            if entry.outcome in ("error", "missing"):
                continue
            row = results.row(entry)
            verdict = outcomes.judge(row)
            request = msgspec.json.decode(line)["request"]
            expected = of_request(request, found.model, see=see)
            fees = charges.of_response(as_object(row.get("response")), found.model)
            tier = named_tier(field(request, "service_tier"))
            yield _Answered(stratum, expected, verdict.usage, verdict.thinking, float(fees), tier)


def _measured(row: _Answered, bill: Bill) -> Measured:
    used = row.used
    asked = used._replace(output=0, image_output=0)
    written = Usage(output=used.output, image_output=used.image_output)
    return Measured(
        row.expected, used.input, used.output - row.thinking, row.thinking,
        float(bill.usd(asked, row.tier)), float(bill.usd(written, row.tier)), row.fees, row.stratum,
    )  # fmt: skip
