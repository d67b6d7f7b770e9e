"""From a source of any kind to lines of requests: a manifest is compiled, a selection made, JSONL taken as it is."""

from collections.abc import Callable
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from anyio import to_thread

from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.errors import BatchError
from genai_batch.resources.local_files import FILE
from genai_batch.resources.preflight import sources
from genai_batch.resources.results import Results, read_results
from genai_batch.resources.sources import lines
from genai_batch.resources.sources.selection import Selection
from genai_batch.resources.sources.settings import Settings
from genai_batch.tools.comparing import Before, before
from genai_batch.tools.comparing import sent as sent_by
from genai_batch.tools.workspace import Workspace

if TYPE_CHECKING:  # yaml, jinja2 and pathspec are for those who have a manifest
    from genai_batch.resources.sources.compiling import Compiled
    from genai_batch.resources.sources.manifest import Plan

_SHOWN = 6
_BESIDE = "beside.jsonl"


class Ready(NamedTuple):
    """A source as lines: where they are, the model they are for, if one was named, and what its manifest says."""

    path: Path
    model: str | None
    settings: Settings
    rows: int | None = None


async def ready(
    workspace: Workspace, source: str, model: str | None, selection: Selection | None, folder: Path
) -> Ready:
    """Make a source into lines, inside `folder` where it is not lines already.

    Raises:
        BatchError: the source, or a job that it names, cannot be used.
        InvalidRequests: with everything that is wrong, by item.
        OSError: the folder does not take the copy.
    """
    path = workspace.path(source)
    sources.need_file(path)
    if is_manifest(path):
        plan = await to_thread.run_sync(_prepared, path, folder)
        made = await compiled(workspace, plan, model, selection, folder / f"{path.name}.jsonl", is_sent=True)
        named = made.settings._replace(name=made.settings.name or path.stem[:100])
        return made._replace(settings=named)
    if selection is None or selection.is_all:
        return Ready(path, model, Settings())
    earlier = await before(workspace, selection, model)
    choose = partial(_chosen, path, folder / path.name, selection, earlier)
    rows = await to_thread.run_sync(choose, abandon_on_cancel=True)
    note = Problem(problem="a selection of the source; lines are counted in it")
    since = earlier.job_id if earlier else None
    return Ready(folder / path.name, model, Settings(warnings=(note,), changed_since=since), rows)


def _prepared(path: Path, folder: Path) -> "Plan":
    from genai_batch.resources.sources import manifest

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return manifest.read(path)


def is_manifest(path: Path) -> bool:
    """Whether a file is a manifest, by its name, and where it is JSON by what it begins with."""
    ending = path.suffix.lower()
    return ending in lines.ENDINGS and path.is_file() and not (ending == ".json" and lines.is_lines(path))


async def compiled(
    workspace: Workspace, plan: "Plan", model: str | None, selection: Selection | None, target: Path,
    *, is_sent: bool = False,
) -> Ready:  # fmt: skip
    """Compile a plan into the file `target`.

    Where it `is_sent` by whoever asks, and not for any tool, large files are named to be uploaded, and what stands
    beside the requests is in a file of its own.

    Raises:
        BatchError: the source, or a job that it names, cannot be used.
        InvalidRequests: with everything that is wrong, by item.
    """
    chosen = (selection or Selection()).over(plan.manifest.select)
    earlier = await before(workspace, chosen, model or plan.common.get("model"))
    files = target.with_name(FILE) if is_sent else None
    write = partial(_compiled, workspace, plan, model, chosen, target, files, earlier)
    if plan.manifest.job_id is None:
        made = await to_thread.run_sync(write, None, abandon_on_cancel=True)
    else:
        job = await workspace.with_results(plan.manifest.job_id)
        read = partial(read_results, workspace.home, job, write)
        made = await to_thread.run_sync(read, abandon_on_cancel=True)
    settings = _settings(plan, made, earlier)
    if files:
        settings = settings._replace(files=files if files.exists() else None, beside=files.with_name(_BESIDE))
    return Ready(target, _one_model(made.models), settings, made.rows)


def _settings(plan: "Plan", made: "Compiled", earlier: Before | None) -> Settings:
    warnings = made.found.warnings
    if made.unchanged:
        warnings = [Problem(problem=f"{made.unchanged:,} requests are left out: they were sent just so"), *warnings]
    said = plan.manifest
    limits = (said.max_cost_usd, said.concurrency, said.deadline_h, said.fallback, said.stop_on_failures, said.dedupe)
    return Settings(
        said.name, said.lane, *limits, warnings=tuple(warnings), changed_since=earlier.job_id if earlier else None
    )


def _one_model(models: tuple[str, ...]) -> str | None:
    if len(models) > 1:
        named = ", ".join(brief(each, 60) for each in models[:_SHOWN]) + ", …" * (len(models) > _SHOWN)
        said = f"The items are for {len(models)} models: {named}. One job has one model."
        raise BatchError(f"{said} State model for all of them; create_batch runs those of each as a stage.")
    return models[0] if models else None


def _compiled(
    workspace: Workspace, plan: "Plan", model: str | None, chosen: Selection, target: Path,
    files: Path | None, earlier: Before | None, results: Results | None,
) -> "Compiled":  # fmt: skip
    from genai_batch.resources.sources.attaching import Attaching
    from genai_batch.resources.sources.compiling import Compiler
    from genai_batch.resources.sources.supply import Supply

    reach, attaching = _reach(workspace), Attaching(plan, files)
    compiler = Compiler(plan, Supply(plan, reach, results, attaching.most), reach, model, chosen, attaching)
    apart = files.with_name(_BESIDE).open("wb") if files else nullcontext()
    with closing(attaching), sent_by(earlier) as sent, target.open("wb") as out, apart as beside:
        return compiler.write(out, sent, beside)


def _chosen(source: Path, target: Path, selection: Selection, earlier: Before | None) -> int:
    sources.refuse(source)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with sent_by(earlier) as sent, target.open("wb") as out:
        return lines.choose(source, out, selection, sent)


def _reach(workspace: Workspace) -> Callable[[Path | str], Path]:
    return lambda path: workspace.path(str(path))
