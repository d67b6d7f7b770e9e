"""The options of the command line, said once for all commands that take them."""

from typing import Annotated

import typer

from genai_batch.resources.errors import BatchError
from genai_batch.resources.prices import Fallback
from genai_batch.server.piped import source_of
from genai_batch.server.terminal import amount
from genai_batch.tools.routing import Wish


def _piped(name: str | None) -> str | None:
    """Read what comes through a pipe.

    Raises:
        typer.BadParameter: nothing does.
    """
    try:
        return name and source_of(name)
    except (BatchError, OSError) as error:
        raise typer.BadParameter(str(error)) from error


SourcePath = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="JSONL, one {key, request} a line, or a manifest; - is stdin", callback=_piped
    ),
]
Job = Annotated[str, typer.Argument(metavar="JOB", help="job_…, pipe_… or batches/…")]
Model = Annotated[str | None, typer.Option(help="Gemini model, e.g. gemini-3.8-flash; a manifest may name it")]
Every = Annotated[bool, typer.Option("--all", help="List the problems of every row, also where many share one")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, no logs")]
Raw = Annotated[bool, typer.Option("--raw", help="Write each whole response beside its row")]
Name = Annotated[str | None, typer.Option(help="What to call the job")]
Limit = Annotated[float | None, typer.Option(callback=amount, help="Refuse a job that may cost more")]
Confirm = Annotated[bool, typer.Option("--confirm", help="The cost is approved")]
Again = Annotated[bool, typer.Option("--again", help="Run the same content anew and pay again")]
InLane = Annotated[
    Wish | None,
    typer.Option(
        help="live: now, at full price; flex: at half price, in minutes, when Gemini has room; "
        "batch (default): at half price, in hours; auto: as fits"
    ),
]
AtOnce = Annotated[int | None, typer.Option(min=1, max=2000, help="Calls at a time, live or flex, at most")]
Deadline = Annotated[float | None, typer.Option("--deadline-h", min=0.01, help="For --lane auto: hours to have it in")]
FallBack = Annotated[
    Fallback | None,
    typer.Option("--fallback", help="For --lane flex: after 3 refusals a row is sent at this tier"),
]
Piloted = Annotated[int | None, typer.Option(min=2, max=200, help="Run so many rows first, project from them")]
Sample = Annotated[int | None, typer.Option(min=1, help="Only so many, drawn at random")]
Seed = Annotated[int, typer.Option(help="Of the sample")]
Only = Annotated[list[str] | None, typer.Option(metavar="KEY", help="Only this key; can be repeated")]
First = Annotated[int | None, typer.Option(min=1, help="Only the first so many")]
Since = Annotated[str | None, typer.Option(metavar="JOB", help="Only what this job did not send just so")]
OutputLimit = Annotated[
    int | None, typer.Option("--max-output-tokens", min=1, help="Set max_output_tokens in rows that have none")
]
FailureLimit = Annotated[
    float | None,
    typer.Option(
        "--stop-on-failures", metavar="PERCENT", min=0.1, max=100, help="Stop once so many percent of the rows failed"
    ),
]
Dedupe = Annotated[bool, typer.Option("--dedupe", help="Send equal requests once; every key gets the answer")]
Bound = Annotated[bool, typer.Option("--check-binding", help="Have answers carry an id, to find swapped ones")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that are there, also those that somebody has edited")
]
