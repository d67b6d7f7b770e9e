"""The command line: the same functions as the tools, for people and scripts.

Answers go to stdout, everything else to stderr.
"""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
import typer

from genai_batch import __version__
from genai_batch.resources import model_list
from genai_batch.resources.errors import BatchError, leaves
from genai_batch.resources.exports import Format
from genai_batch.resources.jobs import LIMITS, State
from genai_batch.resources.model_list import ModelList
from genai_batch.resources.pages import ResultPage, Wanted
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.prices import Lane
from genai_batch.resources.status import JobStatus
from genai_batch.server import showing
from genai_batch.server.acting import begun, corrected, estimated
from genai_batch.server.choosing import chosen, fields_of, schema_of_manifest
from genai_batch.server.destination import destination
from genai_batch.server.options import (
    Again,
    AtOnce,
    Bound,
    Confirm,
    Deadline,
    Dedupe,
    Every,
    FailureLimit,
    FallBack,
    First,
    InLane,
    Job,
    Json,
    Limit,
    Model,
    Name,
    Only,
    OutputLimit,
    Overwrite,
    Piloted,
    Quiet,
    Raw,
    Sample,
    Seed,
    Since,
    SourcePath,
)
from genai_batch.server.piped import source_of
from genai_batch.server.progress import shown
from genai_batch.server.reporting import make_report
from genai_batch.server.settings import Settings
from genai_batch.server.stages import collected, waited
from genai_batch.server.terminal import amount, approved, exit_code, fail, show, within
from genai_batch.server.waiting import follow
from genai_batch.tools.build_requests import build_requests
from genai_batch.tools.cancel_job import cancel_job
from genai_batch.tools.get_results import get_results
from genai_batch.tools.list_jobs import list_jobs
from genai_batch.tools.placing import results_at
from genai_batch.tools.resume_job import Rows, resume_job
from genai_batch.tools.starting import RENEWED
from genai_batch.tools.workspace import Workspace

app = typer.Typer(
    name="genai-batch",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("-V", "--version", help="Print the version", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Bulk generation with Gemini: priced before it runs, paid once, every answer kept."""


@app.command()
def estimate(
    source: SourcePath, model: Model = None, lane: Lane = "batch", fallback: FallBack = None,
    fix: Annotated[str | None, typer.Option(metavar="PATH", help="Write a copy with certain corrections")] = None,
    pilot: Piloted = None,
    max_cost_usd: Annotated[float | None, typer.Option(callback=amount, help="For the pilot; 0.5 otherwise")] = None,
    max_output_tokens: OutputLimit = None, dedupe: Dedupe = False,
    sample: Sample = None, seed: Seed = 0, only: Only = None, limit: First = None, changed_since: Since = None,
    every: Every = False, overwrite: Overwrite = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Check a file of requests line by line and price it. Nothing is sent, but with --pilot a few rows."""
    if every:
        Findings.limit = sys.maxsize
    if fix and pilot:
        fail(BatchError("--fix and --pilot are two steps: correct the file, then pilot the copy."), json=json)
    if fix:
        if model is None or max_output_tokens or fallback or dedupe or chosen(only, sample, seed, limit, changed_since):
            fail(BatchError("--fix corrects a whole JSONL file for one --model, and sets nothing else."), json=json)
        correct = partial(corrected, source=source, fix=fix, model=model, lane=lane)
        answer = within(correct, json, quiet, overwrite=overwrite, every=every)
        show(answer, [*showing.corrections(answer), *showing.estimate(answer)], json)
    else:
        choice = chosen(only, sample, seed, limit, changed_since)
        arguments = (source, model, lane, fallback, pilot, max_cost_usd, max_output_tokens, choice, dedupe)
        answer = within(
            lambda workspace: estimated(workspace, *arguments, quiet=quiet or json), json, quiet, every=every
        )
        show(answer, showing.estimate(answer), json)
    raise typer.Exit(2 if answer.problem_count else 0)


@app.command()
def create(
    source: SourcePath, model: Model = None, name: Name = None, lane: InLane = None, concurrency: AtOnce = None,
    deadline_h: Deadline = None, fallback: FallBack = None, pilot: Piloted = None,
    max_cost_usd: Limit = None, confirm: Confirm = False, again: Again = False, check_binding: Bound = False,
    max_output_tokens: OutputLimit = None, stop_on_failures: FailureLimit = None, dedupe: Dedupe = False,
    sample: Sample = None, seed: Seed = 0, only: Only = None, limit: First = None, changed_since: Since = None,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Start a job and return at once; it runs at Gemini. Exits 5 while Gemini has not accepted it."""
    how: dict[str, Any] = {
        "lane": lane,
        "concurrency": concurrency,
        "deadline_h": deadline_h,
        "fallback": fallback,
        "check_binding": check_binding,
        "max_output_tokens": max_output_tokens,
        "stop_on_failures": stop_on_failures,
        "dedupe": dedupe,
    }
    how |= {"pilot": pilot, "name": name, "max_cost_usd": max_cost_usd, "again": again}
    how["choice"] = chosen(only, sample, seed, limit, changed_since)
    begin = partial(begun, confirm=confirm, how=how, show=shown(json=False, quiet=quiet or json))
    answer = within(lambda workspace: begin(workspace, source, model), json, quiet)
    show(answer, showing.status(answer), json)
    if answer.stopped and answer.stopped_by in LIMITS:
        raise typer.Exit(exit_code(answer))
    raise typer.Exit(5 if answer.state == "JOB_STATE_QUEUED" else 0)


@app.command()
def build(
    source: Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="Manifest or table")] = None,
    output: Annotated[str | None, typer.Option(metavar="PATH", help="Requests go to this .jsonl; - is stdout")] = None,
    prompt: Annotated[str | None, typer.Option(help="Template: {{ column }}, {{ path }}, {{ text }}")] = None,
    folder: Annotated[str | None, typer.Option(help="A folder of files instead of SOURCE")] = None,
    job: Annotated[str | None, typer.Option(metavar="JOB", help="The results of a job instead of SOURCE")] = None,
    model: Model = None,
    field: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="More of a manifest")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of a manifest")] = False,
    sample: Sample = None, seed: Seed = 0, only: Only = None, limit: First = None, changed_since: Since = None,
    overwrite: Overwrite = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Make a file of requests from a manifest, a table, a folder of files, or a job's results. Nothing is sent."""
    if schema:
        typer.echo(schema_of_manifest())
        return
    if output is None:
        fail(BatchError("Name the file to write: --output requests.jsonl"), json=json)
    try:
        source = source and source_of(source, table=True)
        fields = fields_of(field)
        if isinstance(data := fields.get("data"), str):
            fields["data"] = source_of(data, table=True)
    except (BatchError, OSError) as error:
        fail(BatchError(str(error)), json=json)
    arguments = (prompt, source, folder, job, model, fields, chosen(only, sample, seed, limit, changed_since))
    place = destination(output, json=json)
    make = partial(build_requests, place.path or output)
    answer = within(lambda workspace: make(workspace, *arguments), json, quiet, overwrite=overwrite)
    place.show(answer, showing.built(answer), json=json, quiet=quiet)


@app.command("run")
def run_job(
    source: SourcePath, model: Model = None,
    output: Annotated[str | None, typer.Option(help="Write every result to this file or folder/; - is stdout")] = None,
    form: Annotated[Format | None, typer.Option("--format", help="By default the ending of the output")] = None,
    raw: Raw = False,
    name: Name = None, lane: InLane = None, concurrency: AtOnce = None, deadline_h: Deadline = None,
    fallback: FallBack = None, pilot: Piloted = None,
    max_cost_usd: Limit = None, confirm: Confirm = False, again: Again = False, check_binding: Bound = False,
    max_output_tokens: OutputLimit = None, stop_on_failures: FailureLimit = None, dedupe: Dedupe = False,
    sample: Sample = None, seed: Seed = 0, only: Only = None, limit: First = None, changed_since: Since = None,
    overwrite: Overwrite = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Start a job, wait for its end with a progress bar, and collect its results."""
    how: dict[str, Any] = {
        "lane": lane,
        "concurrency": concurrency,
        "deadline_h": deadline_h,
        "fallback": fallback,
        "check_binding": check_binding,
        "max_output_tokens": max_output_tokens,
        "stop_on_failures": stop_on_failures,
        "dedupe": dedupe,
    }
    how |= {"pilot": pilot, "name": name, "max_cost_usd": max_cost_usd, "again": again}
    how["choice"] = chosen(only, sample, seed, limit, changed_since)
    begin = partial(begun, confirm=confirm, how=how, show=shown(json=json, quiet=quiet))

    place = destination(output, form, json=json)

    async def whole(workspace: Workspace) -> tuple[JobStatus, ResultPage]:
        if place.path:  # what cannot be written is known before it is paid
            target = results_at(workspace, place.path, form)
            how["into"] = target.path if target.is_folder else None
        started = await begin(workspace, source, model)
        status = await waited(workspace, started, shown(json=json, quiet=quiet), confirm=confirm)
        status = status.model_copy(update={"existing": started.existing, "notice": _still(started, status)})
        return status, await collected(workspace, status, place.path, form, raw=raw)

    status, page = within(whole, json, quiet, overwrite=overwrite)
    rows = page.model_dump(mode="json", exclude={"job_id", "state", "counts", "cost_usd", "notice", "uri"})
    whole_run = Run.model_validate({**status.model_dump(mode="json"), **rows})
    place.show(whole_run, [*showing.status(status), "", *showing.results(page)], json=json, quiet=quiet)
    raise typer.Exit(exit_code(status))


@app.command()
def status(
    job: Job,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the end")] = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell how far a job is; the exit code tells how it ended."""

    async def ask(workspace: Workspace) -> JobStatus:
        return await follow(workspace, job, wait, shown(json=False, quiet=quiet or json))

    answer = within(ask, json, quiet)
    show(answer, showing.status(answer), json)
    raise typer.Exit(exit_code(answer))


@app.command()
def results(
    job: Job, outcome: Annotated[Wanted | None, typer.Option(help="Only rows with this outcome")] = None,
    output: Annotated[str | None, typer.Option(help="Every row to this file (- is stdout) or folder/")] = None,
    form: Annotated[Format | None, typer.Option("--format", help="By default the ending of the output")] = None,
    with_requests: Annotated[bool, typer.Option("--with-requests", help="Write each request beside its row")] = False,
    raw: Raw = False,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20, cursor: Annotated[str | None, typer.Option()] = None,
    key: Annotated[list[str] | None, typer.Option(help="Only this key; can be repeated")] = None,
    overwrite: Overwrite = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Show the answers of a finished job, or write them to a file."""
    place = destination(output, form, json=json)
    asked = (outcome, key, limit, cursor, place.path, form, with_requests, raw)
    answer = within(lambda workspace: get_results(job, workspace, *asked), json, quiet, overwrite=overwrite)
    place.show(answer, showing.results(answer), json=json, quiet=quiet)


@app.command()
def report(
    job: Job,
    output: Annotated[str | None, typer.Option(help="Write it here (- is stdout); otherwise JOB-report.html")] = None,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Show it in the browser")] = False,
    overwrite: Overwrite = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Make one HTML page of a finished job: counts, failures, cost, plots, pictures, a sample of rows."""
    place = destination(output, json=json)
    if open_ and place.is_stdout:
        fail(BatchError("--open shows a file: name it with --output."), json=json)
    answer = within(lambda workspace: make_report(job, workspace, place.path), json, quiet, overwrite=overwrite)
    place.show(answer, showing.report(answer), json=json, quiet=quiet)
    if open_:
        typer.launch(Path(answer.output_path).as_uri())


@app.command("list")
def list_(
    state: Annotated[State | None, typer.Option()] = None, limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    cursor: Annotated[str | None, typer.Option()] = None, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """List the jobs of this machine, those with results to fetch first."""
    answer = within(lambda workspace: list_jobs(workspace, state, limit, cursor), json, quiet)
    show(answer, showing.jobs(answer), json)


@app.command()
def cancel(job: Job, json: Json = False, quiet: Quiet = False) -> None:
    """Stop a job; rows that are finished are kept."""
    answer = within(lambda workspace: cancel_job(job, workspace), json, quiet)
    show(answer, showing.status(answer), json)


@app.command()
def resume(
    job: Job,
    rows: Annotated[Rows, typer.Option(help="Which rows to send again")] = "unfinished",
    key: Annotated[list[str] | None, typer.Option(help="Only this key; can be repeated")] = None,
    lane: Annotated[
        Lane | None, typer.Option(help="The job's own, if not said; live costs twice, answers now; flex in minutes")
    ] = None,
    confirm: Confirm = False, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Send rows of a finished job again, or run the rest of one in the live lane, to its end; good answers are kept."""

    async def ask(workspace: Workspace) -> JobStatus:
        answer = await approved(partial(resume_job, job, workspace, key or rows, lane, confirm), confirm)
        if answer.is_over or workspace.ledger.job(answer.job_id).lane_now == "batch":
            return answer
        named = answer.pipeline.id if answer.pipeline and answer.pipeline.state else answer.job_id
        return await follow(workspace, named, None, shown(json=False, quiet=quiet or json))

    answer = within(ask, json, quiet)
    show(answer, showing.status(answer), json)
    waits = answer.state == "JOB_STATE_QUEUED" or answer.lane != "batch"
    raise typer.Exit(exit_code(answer) if answer.is_over else 5 if waits else 0)


@app.command()
def serve(
    http: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Serve HTTP at /mcp instead of stdio")] = None,
) -> None:
    """Serve MCP hosts."""
    from genai_batch.server.app import build_server, serve_http, serve_stdio

    try:
        server = build_server(Settings.read(serving=True))
        anyio.run(serve_http, server, http) if http else anyio.run(serve_stdio, server)
    except* BatchError as group:
        fail(next(leaves(group)), json=False)


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
def models(json: Json = False) -> None:
    """List the models that can run in a batch, what a million tokens cost, and the day a model ends."""

    async def ask(workspace: Workspace) -> ModelList:
        return model_list.models(workspace.today)

    answer = within(ask, json, quiet=True)
    show(answer, showing.models(answer), json)


@app.command()
def doctor(json: Json = False) -> None:
    """Check the settings, the home and the connection."""
    from genai_batch.server.doctor import examine

    answer = within(examine, json, quiet=True)
    show(answer, showing.plain(answer), json)
    raise typer.Exit(0 if answer.ok else 4)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


class Run(JobStatus, ResultPage):
    """The last line of `run --json`: how the job ended and what it wrote. The lines before it are events too."""

    event: Literal["end"] = "end"


def _still(started: JobStatus, now: JobStatus) -> str | None:
    """What is to be noted of a job at its end, what was changed at its begin with it."""
    renewed = RENEWED if RENEWED in (started.notice or "") else None
    return " ".join(filter(None, (now.notice, renewed))) or None
