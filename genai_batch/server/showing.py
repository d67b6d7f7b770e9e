"""Answers as a person reads them."""

from collections.abc import Iterable

from genai_batch.resources.answers import Answer, Problem, Range, brief, dollars
from genai_batch.resources.corrections import Corrected
from genai_batch.resources.estimates import Estimate, PilotRun
from genai_batch.resources.model_list import ModelList
from genai_batch.resources.pages import ResultPage
from genai_batch.resources.result_lines import Reason, ResultLine
from genai_batch.resources.status import Counts, JobList, JobStatus, PipelineStatus, StageLine, for_rows
from genai_batch.server.reporting import Reported
from genai_batch.tools.build_requests import Built


def estimate(answer: Estimate) -> list[str]:
    """A price, and everything that is wrong."""
    cost, other = answer.cost_usd, answer.other_lane
    rows = f" for {answer.rows:,} rows" if answer.rows else ""
    lines = [
        f"requests that can be sent: {answer.requests:,}{rows}, problems: {answer.problem_count:,}",
        f"input   {_tokens(answer.input_tokens)}",
        f"output  {_tokens(answer.output_tokens)}",
        *([f"        of it thinking {_tokens(answer.thinking_tokens)}"] if answer.thinking_tokens else []),
        *(f"{fee.tool}  {_usd(fee.cost_usd)} ({fee.price})" for fee in answer.tools or []),
        f"cost    {_usd(cost)}; {other.lane} lane {dollars(other.cost_usd)}",
        *([f"lower   {answer.to_lower}"] if answer.to_lower else []),
        *([f"upload  {answer.upload_bytes / 1e6:,.1f} MB of files, once"] if answer.upload_bytes else []),
        *([f"learnt  {answer.learnt}"] if answer.learnt else []),
        *(_pilot(answer.pilot) if answer.pilot else []),
        f"prices  {answer.price.source}, {answer.price.checked}",
    ]
    return [
        *lines,
        *_problems("problem", answer.problems),
        *_problems("warning", answer.warnings),
        f"next    {answer.next}",
    ]


def _pilot(run: PilotRun) -> list[str]:
    cost = f", {dollars(run.cost_usd)} paid" if run.cost_usd is not None else ""
    line = f"pilot   {run.job_id}, {run.rows} rows: {run.state}{cost}"
    return [line, *([f"        {run.unseen}"] if run.unseen else [])]


def corrections(answer: Corrected) -> list[str]:
    """What was changed in a corrected copy, line by line."""
    more = answer.fixed_count - len(answer.fixed)
    return [
        f"wrote   {answer.fixed_path}, lines corrected: {answer.fixed_count:,}",
        *(f"fixed   {each.sentence()}" for each in answer.fixed),
        *([f"fixed   and {more:,} lines more"] if more else []),
    ]


def built(answer: Built) -> list[str]:
    """What was written, and what was left out."""
    return [
        f"wrote   {answer.requests:,} requests to {answer.output_path}",
        *_problems("warning", answer.warnings or []),
        f"next    {answer.next}",
    ]


def status(answer: JobStatus) -> list[str]:
    """Where a job stands."""
    spent = answer.cost_usd
    paid = f"{dollars(spent.actual)} paid, " if spent.actual is not None else ""
    expected = f"{dollars(spent.estimate)} expected" if spent.estimate is not None else "no estimate"
    done = f"{answer.done:,} of {for_rows(answer.requests, answer.rows)} ({answer.percent} %)"
    left = f", about {answer.eta_s:,.0f} s left" if answer.eta_s else ""
    lines = [
        f"{answer.job_id}  {answer.name}"
        + ("  (the same job as before, nothing was sent again; --again runs it anew)" if answer.existing else ""),
        f"{answer.state.removeprefix('JOB_STATE_')}  {done}, {answer.elapsed_s:,.0f} s{left}",
        f"{'sent' if answer.rows else 'rows'}    {counts(answer.counts)}",
        f"cost    {paid}{expected}  {answer.model}, {answer.lane} lane",
    ]
    stages = pipeline(answer.pipeline) if answer.pipeline else []
    return [*lines, *stages, *([f"note    {answer.notice}"] if answer.notice else []), f"next    {answer.next}"]


def pipeline(answer: PipelineStatus) -> list[str]:
    """The stages of a pipeline, a line each."""
    if answer.stages is None:
        return [f"stage   {answer.stage} of {answer.id}"]
    paid = f"{dollars(answer.cost_usd or 0)} of {dollars(answer.budget_usd or 0)} paid"
    state = (answer.state or "").removeprefix("JOB_STATE_")
    return [f"stages  {answer.id}  {state}, {paid}", *(f"        {_stage(line)}" for line in answer.stages)]


def _stage(line: StageLine) -> str:
    if line.job_id is None:
        return f"{line.name}  not begun"
    state = (line.state or "").removeprefix("JOB_STATE_")
    return f"{line.name}  {line.job_id}  {state}  {line.done or 0:,} of {line.requests or 0:,}"


def results(answer: ResultPage) -> list[str]:
    """Rows, or where they were written."""
    lines = [f"{answer.job_id}  {answer.state.removeprefix('JOB_STATE_')}  rows: {counts(answer.counts)}"]
    if answer.output_path:
        lines.append(f"wrote   {answer.written:,} rows to {answer.output_path}")
    said: dict[int | str, str] = {}
    lines += [_result(line, said) for line in answer.results]
    more = [f"more    --cursor {answer.next_cursor}"] if answer.next_cursor else []
    return [*lines, *([f"note    {answer.notice}"] if answer.notice else []), *more]


def report(answer: Reported) -> list[str]:
    """Where the page of a job is."""
    return [f"wrote   {answer.output_path}", *([f"note    {answer.notice}"] if answer.notice else [])]


def jobs(answer: JobList) -> list[str]:
    """A table of jobs."""
    rows = [
        f"{job.job_id}  {job.created_at}  {job.state.removeprefix('JOB_STATE_'):<10} {job.requests:>9,}  {job.name}"
        for job in answer.jobs
    ]
    more = [f"more    --cursor {answer.next_cursor}"] if answer.next_cursor else []
    return [*(rows or ["no jobs yet"]), *more]


def models(answer: ModelList) -> list[str]:
    """A table of models; USD per million tokens in the batch lane."""
    rows = [
        f"{line.model:<32}{line.kind:<10}{line.batch_input:>8,.3f} in{line.batch_output:>9,.3f} out"
        + ("   flex" if line.flex else "")
        + (f"   ends {line.ends}, then {line.next}" if line.ends else "")
        for line in answer.models
    ]
    prices = "USD per million tokens in the batch lane, the same where a model has flex, twice that live"
    return [*rows, f"{prices}; {answer.source}, {answer.checked}"]


def counts(rows: Counts) -> str:
    """Outcomes in one line."""
    return ", ".join(f"{count:,} {outcome}" for outcome, count in rows.model_dump().items()) or "none"


def plain(answer: Answer) -> list[str]:
    """Any flat answer, a field a line."""
    return [f"{name:<12} {value}" for name, value in answer.model_dump(mode="json").items()]


def _result(line: ResultLine, messages: dict[int | str, str]) -> str:
    why = _reason(line.error, messages)
    said = (
        (why if line.outcome == "error" else line.text)
        or line.text
        or why
        or ", ".join(media.mime_type for media in line.media or [])
        or ""
    )
    return f"  {line.key}  [{line.outcome}]  {brief(said.replace(chr(10), ' '), 200)}"


def _reason(error: Reason | None, messages: dict[int | str, str]) -> str | None:
    """An error in words; `messages` are the last ones by code, which are stated only once."""
    if error is None:
        return None
    message = messages[error.code] = error.message or messages.get(error.code, "")
    return f"{error.code}: {message}"


def _usd(cost: Range) -> str:
    if cost.likely_high is None:
        return f"{dollars(cost.likely)} likely, {dollars(cost.low)} to {dollars(cost.high)}"
    likely = f"{dollars(cost.likely)} likely, {dollars(cost.low)} to {dollars(cost.likely_high)}"
    return f"{likely}, at most {dollars(cost.high)}"


def _tokens(tokens: Range) -> str:
    return f"{tokens.likely:,.0f} tokens likely, {tokens.low:,.0f} to {tokens.high:,.0f}"


def _problems(word: str, problems: Iterable[Problem]) -> list[str]:
    return [f"{word:<8}{problem.sentence()}" for problem in problems]
