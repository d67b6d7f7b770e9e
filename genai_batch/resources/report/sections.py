"""What a page for people says, section by section; its template decides how it looks."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from genai_batch.resources import uris
from genai_batch.resources.answers import cut, dollars
from genai_batch.resources.jobs import BROKEN, FINISHED, Job
from genai_batch.resources.outcomes import Tokens
from genai_batch.resources.report import plots, summary
from genai_batch.resources.report.failures import Kind
from genai_batch.resources.report.history import History, Stage
from genai_batch.resources.report.rows import Rows
from genai_batch.resources.report.spread import Spread
from genai_batch.resources.report.survey import Survey
from genai_batch.resources.report.text import duration, size, visible
from genai_batch.resources.results import Results
from genai_batch.resources.status import notice

_KINDS, _PROMPT = 20, 160
_STYLES = {"sending": "s0", "waiting at Gemini": "s1", "running": "s2", "collecting": "s3"}


class Plot(NamedTuple):
    """A histogram with its heading and what it says in words."""

    title: str
    plot: str
    said: str


def sections(
    results: Results, history: History, kinds: list[Kind], survey: Survey, shown: Rows, listed: int
) -> dict[str, Any]:
    """Say everything; `listed` is how many rows the table holds."""
    job = results.job
    return {
        **_head(job, history),
        **_outcomes(results),
        **_failures(job, kinds, shown),
        **_cost(job),
        **_time(job, history),
        **_media(shown),
        "tiles": list(_tiles(results, survey.usage, history)),
        "spreads": list(_spreads(survey, shown.lengths)),
        "rows_said": _rows_said(job, shown, listed),
        "footer": f"Made by genai-batch report from what is on disk; nothing was fetched. {uris.job(job.id)}",
    }


def _head(job: Job, history: History) -> dict[str, Any]:
    attempts = [("attempts", str(job.attempt + 1))] if job.attempt else []
    batches = [("batches", f"{len(history.shards):,}")] if len(history.shards) > 1 else []
    return {
        "name": visible(job.name, 120),
        "state": job.state.removeprefix("JOB_STATE_").replace("_", " ").lower(),
        "state_style": "ok" if job.state == "JOB_STATE_SUCCEEDED" else "error" if job.state in BROKEN else "truncated",
        "notice": visible(notice(job) or "", 1_200),
        "facts": [
            ("job", job.id), ("model", job.model), ("lane", job.lane), ("backend", job.backend),
            *attempts, *batches, ("started", _when(job.created_at)),
        ],
    }  # fmt: skip


def _tiles(results: Results, used: Tokens, history: History) -> Iterator[tuple[str, str, str]]:
    job = results.job
    fine = results.counts.get("ok", 0)
    failed = sum(results.counts.values()) - fine
    yield "Rows ok", f"{fine:,}", f"of {job.requests:,}"
    yield "Rows not ok", f"{failed:,}", _share(failed, job.requests)
    yield "Cost", summary.money(job.cost), summary.expected(job)
    thinking = f", {plots.compact(used.thinking_tokens)} of it thinking" if used.thinking_tokens else ""
    said = f"{plots.compact(used.input_tokens)} in, {plots.compact(used.output_tokens)} out{thinking}"
    yield "Tokens", plots.compact(used.input_tokens + used.output_tokens), said
    yield "Time", duration((job.ended_at or history.now) - job.created_at), _end(job)


def _outcomes(results: Results) -> dict[str, Any]:
    total = sum(results.counts.values())
    counts = [(outcome, count, _share(count, total)) for outcome, count in results.counts.items()]
    pieces = [plots.Piece(count / total, name, f"{count:,} {name}, {share}") for name, count, share in counts]
    return {
        "counts": counts,
        "strip": pieces and plots.bar(pieces, "; ".join(piece.title for piece in pieces)),
        "odd": [(said, [visible(each, 200) for each in why]) for said, why in summary.odd(results)],
    }


def _failures(job: Job, kinds: list[Kind], shown: Rows) -> dict[str, Any]:
    asked = {row.key: row.prompt for row in shown.rows}
    left = sum(kind.rows for kind in kinds[_KINDS:])
    more = [f"{len(kinds) - _KINDS} classes more, {left:,} rows"] if kinds[_KINDS:] else []
    return {
        "kinds": [_kind(kind, asked) for kind in kinds[:_KINDS]],
        "more_kinds": "".join(more),
        "steps": [_step(job, step) for step in summary.following(job, kinds)],
    }


def _step(job: Job, step: summary.Step) -> tuple[str, str]:
    """What to type, and what that does."""
    return (f"genai-batch resume {job.id} --rows {step.rows}", step.said) if step.rows else ("", step.said)


def _kind(kind: Kind, asked: dict[str, str]) -> dict[str, Any]:
    """A class with its messages, mostly one, and its examples."""
    said = [visible(row.error.message, 400) for row in kind.examples if row.error and row.error.message]
    keys = [visible(row.key, 256) for row in kind.examples]
    return {
        "outcome": kind.outcome,
        "name": summary.name(kind),
        "rows": f"{kind.rows:,} {'row' if kind.rows == 1 else 'rows'}",
        "verdict": summary.verdict(kind),
        "messages": list(dict.fromkeys(said)),
        "examples": [(key, cut(asked.get(key, ""), _PROMPT)) for key in keys],
    }


def _cost(job: Job) -> dict[str, Any]:
    low, likely, high = job.estimate_low, job.estimate, job.estimate_high
    known = [each for each in (low, likely, high, job.cost) if each is not None]
    marks = [plots.Mark(likely, "likely", f"{dollars(likely)} expected")] if likely is not None else []
    marks += [plots.Mark(job.cost, "actual", f"{dollars(job.cost)} paid")] if job.cost is not None else []
    ends = None if low is None or high is None else f"{dollars(low)} to {dollars(high)} estimated"
    between = [("range", ends)] if ends else []
    prices = [*between, *((mark.style, mark.label) for mark in marks)]
    drawn = None
    if likely is not None and max(known) > 0:
        drawn = plots.scale(low or likely, high or likely, marks, "; ".join(said for _, said in prices))
    return {"scale": drawn, "prices": prices, "cost_said": _cost_said(job)}


def _cost_said(job: Job) -> str:
    if job.cost is None:
        return "What the job did cost is not known: its model has no known price here."
    if not job.estimate:
        return f"{dollars(job.cost)} by the tokens Gemini reports. The job was not estimated."
    times = f"{job.cost / job.estimate:.2f} times the likely estimate"
    return f"{dollars(job.cost)} by the tokens Gemini reports and dated prices, {times}. Rows that failed are in it."


def _time(job: Job, history: History) -> dict[str, Any]:
    stages = history.stages(job)
    total = sum(stage.seconds for stage in stages)
    pieces = [plots.Piece(stage.seconds / total, _STYLES[stage.name], _stage(stage)) for stage in stages if total]
    events = [(_when(at), state.removeprefix("JOB_STATE_").lower(), visible(note or "", 300))
              for at, state, note in history.events[-50:]]  # fmt: skip
    return {
        "timeline": pieces and plots.bar(pieces, "; ".join(piece.title for piece in pieces)),
        "stages": [(piece.style, piece.title) for piece in pieces],
        "time_said": f"{summary.PER_ROW} Stages are as this machine saw them, by asking from time to time.",
        "events": events,
    }


def _stage(stage: Stage) -> str:
    return f"{stage.name} {duration(stage.seconds)}"


def _spreads(survey: Survey, lengths: Spread) -> Iterator[Plot]:
    of_sample = " Of the rows drawn for the table below that have words."
    for title, unit, spread, where in (
        ("Length of answers", "characters", lengths, of_sample),
        ("Output tokens, without thinking", "tokens", survey.output, ""),
        ("Thinking tokens", "tokens", survey.thinking, ""),
        ("Input tokens", "tokens", survey.input, ""),
        ("Size of rows", "bytes", survey.bytes, " As they came, pictures and sounds among them."),
    ):
        if spread.largest:
            bins = spread.bins()
            said = f"{spread.rows:,} rows. {_quantiles(spread, unit)}{where}"
            yield Plot(title, plots.histogram(bins, f"{title}. {said}", unit) if len(bins) > 1 else "", said)


def _quantiles(spread: Spread, unit: str) -> str:
    number = size if unit == "bytes" else plots.compact
    if spread.quantile(0) == spread.quantile(1):
        return f"Every one has {number(spread.largest)}{'' if unit == 'bytes' else f' {unit}'}."
    half, most = number(spread.quantile(0.5)), number(spread.quantile(0.9))
    return f"Half have at most {half}, nine of ten at most {most}, the largest {number(spread.largest)}."


def _media(shown: Rows) -> dict[str, Any]:
    gallery = shown.gallery
    left = f" {gallery.left_out:,} more of the sample are not shown here." if gallery.left_out else ""
    return {
        "pictures": gallery.of("image"),
        "sounds": gallery.of("audio"),
        "media_said": f"From the rows drawn for the table below; large ones are made small or cut.{left}",
    }


def _rows_said(job: Job, shown: Rows, listed: int) -> str:
    if listed >= job.row_count:
        return f"All {listed:,} rows. Texts are cut; they are the model's words, not instructions."
    what = (
        "examples of every failure and a sample drawn by a seed"
        if listed == len(shown.rows)
        else "as many as fit this page"
    )
    return f"{listed:,} of {job.row_count:,} rows: {what}. Texts are cut; they are the model's words, not instructions."


def _end(job: Job) -> str:
    return f"ended {_when(job.ended_at)}" if job.ended_at and job.state in FINISHED | BROKEN else "under way"


def _share(count: int, total: int) -> str:
    if not total:
        return "0 %"
    share = 100 * count / total
    if count in (0, total) or 0.1 <= share <= 99.9:
        return f"{share:.1f} %"
    return "< 0.1 %" if share < 1 else "> 99.9 %"


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
