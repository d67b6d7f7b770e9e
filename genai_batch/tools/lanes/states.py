"""What the provider's words mean for a job: states in either spelling, the end its batches make, refused lines."""

import re
from typing import get_args

from genai_batch.resources.answers import Problem, brief, short
from genai_batch.resources.jobs import BROKEN, FINISHED, Shard, State
from genai_batch.resources.models import catalogue
from genai_batch.resources.prices import Lane
from genai_batch.resources.requests import Part, Preflight

_LINE_ERROR = re.compile(r"Error on line (\d+): ([^\n]+)")
_ROW_ERROR = re.compile(r"([^.:]*) '[^']*\.requests\[(\d+)\]\.request\.?([^']*)'")
WAITING = "Gemini has finished; its output is not there yet."
UNKNOWN = "Gemini reports the state {}, which is not known here; it counts as running."
_SAID: dict[State, str] = {
    "JOB_STATE_EXPIRED": "Gemini let the batch expire after 48 h and kept no results. A smaller job may get through.",
    "JOB_STATE_CANCELLED": "Cancelled; rows finished before may have been charged.",
    "JOB_STATE_FAILED": "Gemini failed the batch and gave no reason.",
}


def outcome(shards: list[Shard]) -> tuple[State, str | None]:
    """How a job has ended, from how each of its batches did; one that succeeded without showing its rows has failed."""
    ends: list[State] = []
    said: list[str] = []
    for shard in shards:
        end = state_of(shard.state or "")
        if end not in FINISHED and end not in BROKEN:  # it is home, whatever was last heard of it
            end = "JOB_STATE_SUCCEEDED" if shard.output else "JOB_STATE_FAILED"
        lost = end in FINISHED and shard.output is None
        ends.append("JOB_STATE_FAILED" if lost else end)
        if shard.batch is None:
            said.append(shard.error or "")
        elif reason := shard.error or ("it succeeded but has shown no output" if lost else None):
            said.append(f"Gemini says: {reason}")
        elif end in _SAID:
            said.append(_SAID[end])
    whole = ends[0] if len(set(ends)) == 1 else "JOB_STATE_PARTIALLY_SUCCEEDED"
    return whole, short(" ".join(dict.fromkeys(said)), 450) or None


def state_of(wire: str) -> State | None:
    """Read a state in either spelling; None for one that is not known."""
    name = re.sub("^BATCH_STATE_", "JOB_STATE_", wire)
    return next((state for state in get_args(State) if state == name), None)


def refused_lines(said: str) -> list[Problem]:
    """Read which lines Gemini refused: a file's by number, an inline row's by its place in the list."""
    by_line = [(int(line), why) for line, why in _LINE_ERROR.findall(said)]
    by_row = [(int(row) + 1, f"{why.strip()} {field}") for why, row, field in _ROW_ERROR.findall(said)]
    return [Problem(line=line, problem=brief(why.strip(), 240)) for line, why in by_line or by_row]


def standing(shards: list[Shard]) -> tuple[State, str | None]:
    """How a job stands whose batches are not all over, and what keeps it. It is not over before its rows are here."""
    states = [state_of(shard.state or "") for shard in shards if shard.batch]
    said = [reason for shard in shards if (reason := _kept_by(shard))]
    waiting = sum(shard.batch is None and shard.collected_at is None for shard in shards)
    if states and waiting:
        said.insert(0, f"{waiting} of {len(shards)} batches wait for room at Gemini.")
    queued: State = "JOB_STATE_PENDING" if states else "JOB_STATE_QUEUED"
    moving = any(state not in ("JOB_STATE_PENDING", "JOB_STATE_QUEUED") for state in states)
    return "JOB_STATE_RUNNING" if moving else queued, short(" ".join(dict.fromkeys(said)), 450) or None


def _kept_by(shard: Shard) -> str | None:
    """What keeps a batch from being over, in words."""
    if shard.batch is None:
        return shard.error
    state = state_of(shard.state or "")
    if state in FINISHED and shard.collected_at is None:
        return shard.trouble or WAITING
    return None if state else UNKNOWN.format(shard.state)


def shards_of(job_id: str, digest: str, parts: list[Part], *, first: int = 0, attempt: int = 0) -> list[Shard]:
    """The batches to be of an attempt, each with a unique name by which it is found again after a crash."""
    return [
        Shard(
            job_id=job_id, number=number, attempt=attempt, requests=part.requests, start=part.start, length=part.length,
            display_name=f"genai-batch {job_id} {number} {digest[:12]}",
        )
        for number, part in enumerate(parts, first)
    ]  # fmt: skip


def parts_of(lane: Lane, found: Preflight) -> list[Part]:
    """The parts of an attempt: batches that the provider takes, or all of it where requests go one by one."""
    return found.parts if lane == "batch" else [Part(0, requests=found.requests)]


def embeds(model: str) -> bool:
    """Whether the model makes embeddings, for which the API has a call of its own."""
    return catalogue()["models"].get(model, {}).get("kind") == "embedding" or "embedding" in model
