"""What becomes of one row: refused by nature, bent by a rule, or answered."""

from dataclasses import dataclass

from .catalogue import OUTCOMES, OutcomeKind
from .models import LIMITS, Model
from .plan import Plan, matches, prompt_of
from .rows import Row
from .tokens import prompt_tokens
from .wire import Object, as_list, as_object


@dataclass(frozen=True)
class Outcome:
    """An outcome and, for a refusal, its rpc status."""

    kind: OutcomeKind = "ok"
    error: Object | None = None
    finish_reason: str = "STOP"
    block_reason: str = "SAFETY"
    output_chars: int | None = None
    text: str | None = None
    candidate: Object | None = None

    @property
    def failed(self) -> bool:
        """Whether the row counts as failed and costs nothing."""
        return self.error is not None


KINDS: dict[str, OutcomeKind] = {kind: kind for kind in OUTCOMES}
OK = Outcome()
URIS = ("https://", "http://", "gs://", "files/")
"""How a URI begins that may be readable; a path of somebody's machine is none."""


def outcome_of(row: Row, model: Model, plan: Plan) -> Outcome:
    """The outcome of a row under a job's plan."""
    refusal = natural_refusal(row.request, model, plan.missing_files)
    if refusal:
        return Outcome("error", refusal)
    rules = plan.rules()
    if not rules:
        return OK
    prompt = prompt_of(row.request)
    rule = next((rule for rule in rules if matches(as_object(rule.get("match")), row.key, row.line, prompt)), None)
    return outcome_of_rule(rule) if rule else OK


def outcome_of_rule(rule: Object) -> Outcome:
    """The outcome a rule asks for."""
    kind = KINDS.get(str(rule.get("outcome")), "ok")
    error: Object | None = None
    if kind in ("error", "status"):
        error = {"code": rule.get("code", 13), "message": rule.get("message", "Internal error encountered.")}
        error |= {"details": rule["details"]} if rule.get("details") else {}
    default = {"blocked": "SAFETY", "max_tokens": "MAX_TOKENS", "loop": "MAX_TOKENS"}.get(kind, "STOP")
    return Outcome(
        kind,
        error,
        finish_reason=rule.get("finish_reason") or default,
        block_reason=rule.get("block_reason") or "SAFETY",
        output_chars=rule.get("output_chars"),
        text=rule.get("text"),
        candidate=rule.get("candidate"),
    )


def natural_refusal(request: Object, model: Model, missing_files: list[str]) -> Object | None:
    """The rpc status of a request that parses but cannot be answered."""
    field = "content" if model.family == "embedding" else "contents"
    if not request.get(field):
        return {"code": 3, "message": f"* GenerateContentRequest.{field}: {field} is not specified\n"}
    for uri in file_uris(request):
        if not uri.startswith(URIS):
            return {"code": 3, "message": f"Invalid or unsupported file uri: {uri}"}
    for name in missing_files and file_names(request):
        if name in missing_files:
            return {"code": 7, "message": f"You do not have permission to access the File {name} or it may not exist."}
    limit = LIMITS[model.family][0]
    count = sum(prompt_tokens(request, model).values())
    if count > limit:
        message = f"The input token count ({count}) exceeds the maximum number of tokens allowed ({limit})."
        return {"code": 3, "message": message}
    return None


def file_uris(request: Object) -> list[str]:
    """What a request points at instead of holding it."""
    contents = [*as_list(request.get("contents")), request.get("content")]
    parts = [as_object(part) for content in contents for part in as_list(as_object(content).get("parts"))]
    return [str(as_object(part["fileData"]).get("fileUri", "")) for part in parts if "fileData" in part]


def file_names(request: Object) -> list[str]:
    """The Files-API ids a request points at."""
    uris = [uri for uri in file_uris(request) if "files/" in uri and not uri.startswith("gs://")]
    return [uri.rpartition("files/")[2] for uri in uris]
