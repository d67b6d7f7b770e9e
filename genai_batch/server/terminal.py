"""How a command meets a person: it runs in their workspace, asks before it spends, and ends with an exit code."""

import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import NoReturn, TypeVar

import anyio
import msgspec
import typer

from genai_batch.resources.answers import Answer, printable
from genai_batch.resources.errors import BatchError, InvalidRequests, OverBudget
from genai_batch.resources.jobs import BROKEN, FINISHED, LIMITS
from genai_batch.resources.ledger import Ledger
from genai_batch.resources.status import JobStatus, PipelineStatus
from genai_batch.server.interrupts import INTERRUPTED, NOTHING_SENT, interrupts, leave
from genai_batch.server.printing import put
from genai_batch.server.settings import Settings, open_workspace
from genai_batch.tools.approval import Quote, Word
from genai_batch.tools.repeating import SentBefore
from genai_batch.tools.workspace import Workspace

T = TypeVar("T")


def within(
    act: Callable[[Workspace], Awaitable[T]], json: bool, quiet: bool, *, overwrite: bool = False, every: bool = False
) -> T:
    """Act in a workspace of this person's settings; a failure ends the command with its message and exit code.

    `overwrite` lets files be replaced that were not written from here, or were edited since; `every` lists the problems
    of all rows, also where many have the same.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.ERROR if quiet else logging.WARNING, format="genai-batch: %(message)s"
    )

    async def whole() -> T:
        async with open_workspace(Settings.read(person=True)) as workspace:
            return await _unless_interrupted(replace(workspace, overwrite=overwrite), act)

    try:
        return anyio.run(whole)
    except BatchError as error:
        fail(error, json=json, every=every)


class Interrupted(BatchError):
    """A signal has ended the command; the message says how to go on."""

    exit_code = INTERRUPTED


async def _unless_interrupted(workspace: Workspace, act: Callable[[Workspace], Awaitable[T]]) -> T:
    """Act until a signal comes; what is begun is then put in order.

    Raises:
        Interrupted: one came.
    """
    said = partial(_interrupted, workspace.ledger, workspace.ledger.version[1])
    interrupts.last = said
    with anyio.CancelScope() as scope, interrupts.heeded(scope.cancel, said):
        return await act(workspace)
    raise Interrupted(said())


def _interrupted(ledger: Ledger, version: int) -> str:
    """What an interrupted command has done: nothing is sent before it is recorded."""
    if ledger.begun:
        return (
            f"Interrupted; {ledger.begun} is recorded: genai-batch status {ledger.begun} --wait 3600 goes on with it."
        )
    with suppress(Exception):  # it may be closed already
        if ledger.version[1] == version:
            return NOTHING_SENT
    return "Interrupted."


async def approved(act: Callable[[Word | None], Awaitable[T]], confirm: bool) -> T:
    """Act; when the budget stops it and a person sits at the terminal, they are asked about the amount."""
    try:
        return await act(None)
    except OverBudget as error:
        at_terminal = sys.stdin.isatty() and sys.stderr.isatty()
        if confirm or not error.quote or not at_terminal:
            raise
        put(f"genai-batch: {printable(str(error))}", err=True)
        quote = Quote(*error.quote)
        ask = partial(typer.confirm, quote.question, err=True)
        agreed = await anyio.to_thread.run_sync(ask, abandon_on_cancel=True)
        if not agreed:
            raise OverBudget("Not approved; nothing was sent.") from None
        return await act(Word(quote, "yes"))


async def only_the_rest(sent: SentBefore) -> bool:
    """Say what was sent before. A person at the terminal decides; otherwise all rows are sent, as was asked.

    Raises:
        OverBudget: nothing is to be sent.
    """
    put(f"genai-batch: {printable(str(sent))}", err=True)
    rest = f"--changed-since {sent.job_id} sends only the others" if sent.has_rest else "genai-batch results shows them"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        put(f"  All are sent; {rest}.", err=True)
        return False
    choices = ["rest", "all", "none"] if sent.has_rest else ["none", "all"]

    def one_of(answer: str) -> str:
        if answer not in choices:
            raise typer.BadParameter(f"answer {', '.join(choices)}")
        return answer

    ask = partial(typer.prompt, f"Send {' / '.join(choices)}?", default=choices[0], value_proc=one_of, err=True)
    answer = await anyio.to_thread.run_sync(ask, abandon_on_cancel=True)
    if answer == "none":
        raise OverBudget("Nothing was sent.")
    return answer == "rest"


def amount(usd: float | None) -> float | None:
    """Refuse what is no amount of money."""
    if usd is not None and not 0 <= usd < float("inf"):
        raise typer.BadParameter("an amount of USD, 0 or more")
    return usd


def fail(error: BatchError, *, json: bool, every: bool = False) -> NoReturn:
    """End the command with what went wrong, in words and as exit code."""
    text = error.tell(most=10**9, budget=10**9, every=every) if isinstance(error, InvalidRequests) else str(error)
    if json:
        put(msgspec.json.encode({"error": text, "exit_code": error.exit_code}).decode())
    put(f"genai-batch: {printable(text)}", err=True)
    if error.exit_code == INTERRUPTED:
        leave()
    raise typer.Exit(error.exit_code)


def show(answer: Answer, lines: list[str], json: bool) -> None:
    """Print an answer as lines or as one JSON object."""
    put(answer.compact() if json else printable("\n".join(lines)))


def exit_code(status: JobStatus) -> int:
    """What the design promises for how a job ended; of the stages of a pipeline the worst counts.

    One that has stopped until it is resumed has failed, for who waits for it, or was refused by the budget.
    """
    if status.stopped:
        return OverBudget.exit_code if status.stopped_by in LIMITS else 4
    if status.pipeline and status.pipeline.stages:
        return _of_stages(status.pipeline)
    if status.state in BROKEN:
        return 4
    if status.state not in FINISHED:
        return 5
    return 0 if (status.counts.ok or 0) == status.requests else 3


def _of_stages(pipeline: PipelineStatus) -> int:
    if pipeline.state in ("JOB_STATE_RUNNING", "JOB_STATE_PENDING"):
        return 5
    stages = pipeline.stages or []
    if any(line.state is None or line.state in BROKEN for line in stages):
        return 4
    return 0 if all(line.ok == line.requests for line in stages) else 3
