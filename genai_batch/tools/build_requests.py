"""Make a file of requests from a manifest, a table, a folder of files, or the results of an earlier job."""

from typing import TYPE_CHECKING, Annotated, Any

from anyio import to_thread
from pydantic import Field

from genai_batch.resources import models
from genai_batch.resources.answers import Answer, Problem, brief
from genai_batch.resources.estimates import ANSWER
from genai_batch.resources.requests import Preflight
from genai_batch.resources.whole import new_file
from genai_batch.tools.compiling import Ready, compiled, is_manifest
from genai_batch.tools.placing import WrittenHere, file_at, writing
from genai_batch.tools.workspace import Choice, Given, Workspace

if TYPE_CHECKING:
    from genai_batch.resources.sources.manifest import Plan


class Built(Answer):
    """A file of requests that was made; nothing was sent."""

    output_path: str
    requests: int
    model: str | None = None
    warning_count: int | None = None
    warnings: list[Problem] | None = None
    next: str

    def fitted(self) -> "Built":
        """Show as many warnings as fit an answer; the count stays whole."""
        shown = self.model_copy(update={"warnings": None})
        for number in range(1, len(self.warnings or []) + 1):
            more = self.model_copy(update={"warnings": (self.warnings or [])[:number]})
            if more.size() > ANSWER:
                break
            shown = more
        return shown


async def build_requests(
    output_path: str,
    workspace: Given,
    prompt: Annotated[str | None, Field(description="{{ column }}, {{ path }}, {{ text }}")] = None,
    data: Annotated[str | None, Field(description="Table or manifest")] = None,
    folder: str | None = None,
    job_id: str | None = None,
    model: str | None = None,
    fields: Annotated[dict[str, Any] | None, Field(description="More of a manifest, e.g. output")] = None,
    choice: Choice = None,
) -> Built:
    """Make a JSONL of requests from a table, a folder or a job's results. Sends nothing."""
    target = file_at(workspace, output_path)
    plan = await to_thread.run_sync(_plan, workspace, prompt, data, folder, job_id, fields or {})
    with writing(workspace, target), new_file(target, may_replace=workspace.may_replace(target)) as part:
        made = await compiled(workspace, plan, model, choice, part)
        warnings = await to_thread.run_sync(_checked, workspace, made, plan.source)
        WrittenHere(workspace).note_written(target, part)
    state = f"model={made.model}" if made.model else "a model"
    return Built(
        output_path=str(target),
        requests=made.rows or 0,
        model=made.model,
        warning_count=len(warnings) or None,
        warnings=warnings or None,
        next=f"estimate_cost with source={brief(output_path, 200)} and {state}; then create_batch.",
    )


def _plan(
    workspace: Workspace,
    prompt: str | None,
    data: str | None,
    folder: str | None,
    job_id: str | None,
    fields: dict[str, Any],
) -> "Plan":
    """Read the manifest that is named, or that the arguments amount to.

    Raises:
        BatchError: it cannot be read, or is none.
    """
    from genai_batch.resources.sources import documents, lines, manifest

    stated = {"prompt": prompt, "folder": folder, "job_id": job_id, **fields}
    stated = {name: value for name, value in stated.items() if value is not None}
    if data is not None:
        path = workspace.path(data)
        if is_manifest(path) and not {"prompt", "folder", "job_id"} & stated.keys():
            found = documents.load(path)
            return manifest.plan(
                {**found, **stated} if isinstance(found, dict) else found, path.name, lines.base_of(path)
            )
        stated["data"] = str(path)
    return manifest.plan(stated, data or folder or job_id or "build_requests", None)


def _checked(workspace: Workspace, made: Ready, source: str) -> list[Problem]:
    """Check the lines as they would be checked before they are sent, where the model is known.

    Raises:
        InvalidRequests: with every problem found.
    """
    if made.model is None:
        return list(made.settings.warnings)
    found = Preflight(made.path, models.find(made.model, workspace.today), about=made.settings).run()
    found.refuse_problems(source)
    return found.findings.warnings
