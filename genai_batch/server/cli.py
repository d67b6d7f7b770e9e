"""The command line: the same functions as the tools, for people and scripts.

Answers go to stdout, everything else to stderr.
"""

import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import anyio
import msgspec
import typer

from genai_batch import __version__
from genai_batch.resources.answers import Answer, printable
from genai_batch.resources.errors import BatchError, InvalidRequests, leaves
from genai_batch.resources.exports import Format
from genai_batch.resources.jobs import BROKEN, FINISHED, JobStatus, Outcome, State
from genai_batch.resources.pages import ResultPage
from genai_batch.resources.prices import Lane
from genai_batch.server import showing
from genai_batch.server.settings import Settings, open_workspace
from genai_batch.server.waiting import follow
from genai_batch.tools.cancel_job import cancel_job
from genai_batch.tools.create_batch import create_batch
from genai_batch.tools.estimate_cost import estimate_cost
from genai_batch.tools.get_results import get_results
from genai_batch.tools.list_jobs import list_jobs
from genai_batch.tools.resume_job import Rows, resume_job
from genai_batch.tools.workspace import Workspace

app = typer.Typer(
    name="genai-batch",
    help="Bulk generation with Gemini: priced before it runs, paid once, every answer kept.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
T = TypeVar("T")
SourcePath = Annotated[str, typer.Argument(metavar="SOURCE", help="JSONL file, one {key, request} a line")]
Job = Annotated[str, typer.Argument(metavar="JOB", help="job_… or batches/…")]
Model = Annotated[str, typer.Option(help="Gemini model, e.g. gemini-3.8-flash")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, no logs")]
Name = Annotated[str | None, typer.Option(help="What to call the job")]
Limit = Annotated[float | None, typer.Option(help="Refuse a job that may cost more")]
Confirm = Annotated[bool, typer.Option("--confirm", help="The cost is approved")]
Again = Annotated[bool, typer.Option("--again", help="Run the same content anew and pay again")]


@app.command()
def estimate(source: SourcePath, model: Model, lane: Lane = "batch", json: Json = False, quiet: Quiet = False) -> None:
    """Check a file of requests line by line and price it. Nothing is sent."""
    answer = _within(lambda workspace: estimate_cost(source, model, workspace, lane), json, quiet)
    _print(answer, showing.estimate(answer), json)
    raise typer.Exit(2 if answer.problem_count else 0)


@app.command()
def create(
    source: SourcePath, model: Model, name: Name = None, lane: Annotated[str, typer.Option()] = "batch",
    max_cost_usd: Limit = None, confirm: Confirm = False, again: Again = False,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Start a job and return at once; it runs at Gemini. Exits 5 while Gemini has not accepted it."""
    if lane != "batch":
        _fail(BatchError(f"There is no lane {lane!r}; it is batch."), json=json)
    answer = _within(
        lambda workspace: _create(workspace, source, model, name, max_cost_usd, confirm, again), json, quiet
    )
    _print(answer, showing.status(answer), json)
    raise typer.Exit(5 if answer.state == "JOB_STATE_QUEUED" else 0)


@app.command("run")
def run_job(
    source: SourcePath, model: Model,
    output: Annotated[str | None, typer.Option(help="Write every result here")] = None,
    form: Annotated[Format | None, typer.Option("--format", help="By default the ending of the output")] = None,
    name: Name = None, max_cost_usd: Limit = None, confirm: Confirm = False, again: Again = False,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Start a job, wait for its end with a progress bar, and collect its results."""

    async def whole(workspace: Workspace) -> tuple[JobStatus, ResultPage]:
        started = await _create(workspace, source, model, name, max_cost_usd, confirm, again)
        status = await follow(workspace, started.job_id, None, quiet=quiet)
        status = status.model_copy(update={"existing": started.existing})
        return status, await get_results(status.job_id, workspace, output_path=output, format=form or _format(output))

    status, page = _within(whole, json, quiet)
    shown = page.model_dump(mode="json", exclude={"job_id", "state", "counts", "notice", "uri"})
    whole_run = Run.model_validate({**status.model_dump(mode="json"), **shown})
    _print(whole_run, [*showing.status(status), "", *showing.results(page)], json)
    raise typer.Exit(_exit_code(status))


@app.command()
def status(
    job: Job,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the end")] = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell how far a job is; the exit code tells how it ended."""

    async def ask(workspace: Workspace) -> JobStatus:
        return await follow(workspace, job, wait, quiet=quiet or json)

    answer = _within(ask, json, quiet)
    _print(answer, showing.status(answer), json)
    raise typer.Exit(_exit_code(answer))


@app.command()
def results(
    job: Job, outcome: Annotated[Outcome | None, typer.Option(help="Only rows with this outcome")] = None,
    output: Annotated[str | None, typer.Option(help="Write every row to this file")] = None,
    form: Annotated[Format | None, typer.Option("--format", help="By default the ending of the output")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20, cursor: Annotated[str | None, typer.Option()] = None,
    key: Annotated[list[str] | None, typer.Option(help="Only this key; can be repeated")] = None,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Show the answers of a finished job, or write them to a file."""
    answer = _within(
        lambda workspace: get_results(job, workspace, outcome, key, limit, cursor, output, form or _format(output)),
        json,
        quiet,
    )
    _print(answer, showing.results(answer), json)


@app.command("list")
def list_(
    state: Annotated[State | None, typer.Option()] = None, limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    cursor: Annotated[str | None, typer.Option()] = None, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """List the jobs of this machine, those with results to fetch first."""
    answer = _within(lambda workspace: list_jobs(workspace, state, limit, cursor), json, quiet)
    _print(answer, showing.jobs(answer), json)


@app.command()
def cancel(job: Job, json: Json = False, quiet: Quiet = False) -> None:
    """Stop a job; rows that are finished are kept."""
    answer = _within(lambda workspace: cancel_job(job, workspace), json, quiet)
    _print(answer, showing.status(answer), json)


@app.command()
def resume(
    job: Job,
    rows: Annotated[Rows, typer.Option(help="Which rows to send again")] = "unfinished",
    key: Annotated[list[str] | None, typer.Option(help="Only this key; can be repeated")] = None,
    confirm: Confirm = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Send rows of a finished job again; good answers are kept."""
    answer = _within(lambda workspace: resume_job(job, workspace, key or rows, confirm), json, quiet)
    _print(answer, showing.status(answer), json)
    raise typer.Exit(5 if answer.state == "JOB_STATE_QUEUED" else 0)


@app.command()
def serve(
    http: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Serve HTTP at /mcp instead of stdio")] = None,
) -> None:
    """Serve MCP hosts."""
    from genai_batch.server.app import build_server, serve_http, serve_stdio

    try:
        server = build_server(Settings.read())
        anyio.run(serve_http, server, http) if http else anyio.run(serve_stdio, server)
    except* BatchError as group:
        _fail(next(leaves(group)), json=False)


@app.command()
def emulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 chooses a free one")] = 8790,
    scenario: Annotated[Path | None, typer.Option(help="JSON file with settings, clock and faults")] = None,
    state: Annotated[Path | None, typer.Option(help="Folder for its state; by default in the home")] = None,
) -> None:
    """Run the offline look-alike of the Gemini API on 127.0.0.1."""
    from genai_batch.server.emulator import serve as listen

    listen(state or Settings.read({**os.environ, "GENAI_BATCH_BACKEND": "emulator"}).home / "emulator", port, scenario)


@app.command()
def demo() -> None:
    """Watch a real MCP client do the whole job, offline."""
    from genai_batch.server.demo import play

    anyio.run(play)


@app.command()
def doctor(json: Json = False) -> None:
    """Check the settings, the home and the connection."""
    from genai_batch.server.doctor import examine

    answer = _within(examine, json, quiet=True)
    _print(answer, showing.plain(answer), json)
    raise typer.Exit(0 if answer.ok else 4)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


class Run(JobStatus, ResultPage):
    """What `run --json` prints: how the job ended and what it wrote."""


async def _create(
    workspace: Workspace, source: str, model: str, name: str | None, most: float | None, confirm: bool, again: bool
) -> JobStatus:
    status = await create_batch(source, model, workspace, name, "batch", most, confirm, again)
    if not workspace.lane.is_at(status.job_id):
        return status
    await workspace.lane.step(workspace.ledger.job(status.job_id))  # a long upload ends before the command does
    job, shards = workspace.ledger.job(status.job_id), workspace.ledger.shards(status.job_id)
    return JobStatus.of(job, shards, workspace.now(), existing=bool(status.existing))


def _within(act: Callable[[Workspace], Awaitable[T]], json: bool, quiet: bool) -> T:
    """Act in a workspace of this person's settings; a failure ends the command with its message and exit code."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.ERROR if quiet else logging.WARNING, format="genai-batch: %(message)s"
    )

    async def whole() -> T:
        async with open_workspace(Settings.read(person=True)) as workspace:
            return await act(workspace)

    try:
        return anyio.run(whole)
    except BatchError as error:
        _fail(error, json=json)


def _fail(error: BatchError, *, json: bool) -> NoReturn:
    text = error.tell(most=10**9, budget=10**9) if isinstance(error, InvalidRequests) else str(error)
    if json:
        typer.echo(msgspec.json.encode({"error": text, "exit_code": error.exit_code}))
    typer.echo(f"genai-batch: {printable(text)}", err=True)
    raise typer.Exit(error.exit_code)


def _print(answer: Answer, lines: list[str], json: bool) -> None:
    typer.echo(answer.compact() if json else printable("\n".join(lines)))


def _exit_code(status: JobStatus) -> int:
    """What the design promises for how a job ended."""
    if status.state in BROKEN:
        return 4
    if status.state not in FINISHED:
        return 5
    return 0 if (status.counts.ok or 0) == status.requests else 3


def _format(output: str | None) -> Format:
    return "csv" if output and output.lower().endswith(".csv") else "jsonl"
