"""A manifest of several stages: each becomes a manifest of its own, that may read what an earlier one answered."""

import re
from datetime import date
from pathlib import Path
from typing import Any

from genai_batch.resources import models
from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.errors import InvalidRequests, UnknownModel
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.sources import by_model, documents, lines
from genai_batch.resources.sources.manifest import Plan, plan
from genai_batch.resources.sources.recipe import FIELDS, not_restated, parted
from genai_batch.resources.sources.selection import Selection
from genai_batch.resources.sources.staged import MOST, UNTIL_THEN, Part, Staged
from genai_batch.resources.sources.templates import TemplateFault, Templates
from genai_batch.resources.untyped import is_list, is_object, kind_of

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}")
_OF_ALL = frozenset({"name", "max_cost_usd", "lane", "select", "defaults", "stages"})
_OF_STAGE = frozenset({
    "name", "from", "items", "data", "sheet", "folder", "include", "ignore", "group", "strict", "job_id", "outcome",
    "key", "select", "lane", "fallback", "dedupe", "defaults",
})  # fmt: skip
_SOURCES = ("from", "items", "data", "folder", "job_id")
_SAYS = frozenset({"prompt", "prompt_file", "contents", "request"})


def read(path: Path, model: str | None, choice: Selection | None, today: date) -> Staged | None:
    """Read a manifest that has stages, or items for several models; None for any other.

    `model` is for what names none; `choice` is what is meant of the stages that read from no other.

    Raises:
        InvalidRequests: with everything that is wrong, by stage.
    """
    if not _may_be_staged(path):
        return None
    value = documents.load(path)
    if not is_object(value):
        return None
    if "stages" in value:
        made = _staged(path, value, model, choice)
    elif model is None and (split := by_model.split(path, value, choice)):
        made = split
    else:
        return None
    check(made, today)
    return made


def _may_be_staged(path: Path) -> bool:
    """Whether it is worth while to look: most manifests are not, and a large one is not read twice for nothing."""
    try:
        if path.stat().st_size > documents.MOST_BYTES:
            return False
        content = path.read_bytes().replace(b"\0", b"")
    except OSError:
        return False
    return b"stages" in content or content.count(b"model") > 1


def _staged(path: Path, value: dict[str, Any], model: str | None, choice: Selection | None) -> Staged:
    found = Findings()
    for name in [each for each in value if each not in _OF_ALL and not parted({each: value[each]}, FIELDS)[0]]:
        fix = "write it into a stage" if name in _OF_STAGE else "see the README on stages"
        found.problem(f"{brief(str(name), 60)!r} beside stages means nothing", fix)
    given = value["stages"]
    if not is_list(given) or not 1 <= len(given) <= MOST:
        found.problem(f"stages is no list of 1 to {MOST}", "write a list of {name, data or from, prompt, …}")
        given = []
    whole = _whole(value, path, found)
    common, kept, _ = parted(value["defaults"] if is_object(value.get("defaults")) else {}, FIELDS)
    common |= parted({name: each for name, each in value.items() if name not in _OF_ALL}, FIELDS)[0]
    common |= {"model": model} if model else {}
    names = [_name(each, number) for number, each in enumerate(given)]
    parts: list[Part] = []
    for number, each in enumerate(given):
        if not is_object(each):
            found.problem(f"stage {number + 1} is {kind_of(each)}, not an object", "write {name, from, prompt, …}")
            continue
        shared = {"lane": value["lane"]} if "lane" in value else {}
        roots = choice.over(whole.manifest.select) if choice else whole.manifest.select
        parts.append(_part(each, names, number, (common, kept, shared), roots, found))
    if found.count:
        raise found.refusal(path.name)
    return Staged(
        whole.manifest.name or path.stem[:60], path.name, lines.base_of(path), whole.manifest.max_cost_usd, parts
    )


def _whole(value: dict[str, Any], path: Path, found: Findings) -> Plan:
    """What holds for all stages, read like a manifest of a job."""
    said = {name: each for name, each in value.items() if name in _OF_ALL and name != "stages"}
    try:
        return plan({**said, "job_id": UNTIL_THEN}, path.name, lines.base_of(path))
    except InvalidRequests as error:
        raise InvalidRequests(path.name, [*found.problems, *error.problems], found.count + error.count) from error


def _name(each: Any, number: int) -> str:
    stated = each.get("name") if is_object(each) else None
    return str(stated) if stated is not None else f"stage-{number + 1}"


def _part(
    given: dict[str, Any], names: list[str], number: int,
    shared: tuple[dict[str, Any], dict[str, Any], dict[str, Any]], roots: Selection | None, found: Findings,
) -> Part:  # fmt: skip
    """Make a stage a manifest of its own: what it does not say itself, it inherits."""
    name, (common, kept, beside) = names[number], shared
    _check_name(name, names[:number], found)
    reads = _reads(given, names, number, found)
    if "max_cost_usd" in given:
        _tell(found, name, "max_cost_usd holds for all stages together", "write it beside stages")
    stated = [each for each in (*_SOURCES, "jobs") if given.get(each) is not None]
    if len(stated) != 1:
        said = f"has {' and '.join(stated)}" if stated else "has nothing to read"
        _tell(found, name, said, "give one of from, data, folder, items and job_id")
    ours, others, _ = parted(given["defaults"] if is_object(given.get("defaults")) else {}, FIELDS)
    own = {each: what for each, what in given.items() if each not in ("name", "from", "defaults", "max_cost_usd")}
    says = _SAYS if _SAYS & {*parted(own, FIELDS)[0], *ours} else frozenset[str]()
    restated = {**parted(own, FIELDS)[0], **ours}
    inherited = {name: value for name, value in not_restated(common, restated).items() if name not in says}
    defaults = {**kept, **inherited, **others, **ours}
    model = parted(own, FIELDS)[0].get("model") or defaults.get("model")
    if not isinstance(model, str):
        _tell(found, name, "names no model", "state one, e.g. model: gemini-3.8-flash, in it or beside stages")
    value = {**beside, **own, "defaults": defaults, "name": name}
    if reads is None and roots is not None and not roots.is_all:
        value["select"] = _over(roots, own.get("select"), name, found)
    return Part(name, value, str(model), reads)


def _over(roots: Selection, own: Any, name: str, found: Findings) -> dict[str, Any]:
    try:
        stated = Selection.model_validate(own) if is_object(own) else None
    except ValueError:
        _tell(found, name, "its select cannot be read", "see `genai-batch build --schema`")
        stated = None
    return roots.over(stated).model_dump(mode="json", exclude_defaults=True)


def _check_name(name: str, before: list[str], found: Findings) -> None:
    if not _NAME.fullmatch(name):
        _tell(found, name, "is no name for a stage", "up to 40 letters, digits, spaces, dots, dashes, underscores")
    elif name.lower() in (each.lower() for each in before):
        _tell(found, name, "has the name of an earlier stage", "make names differ")


def _reads(given: dict[str, Any], names: list[str], number: int, found: Findings) -> int | None:
    if given.get("from") is None:
        return None
    wanted = str(given["from"])
    if wanted in names[:number]:
        return names.index(wanted)
    why = (
        "a stage reads from one that stands before it"
        if wanted in names
        else f"there are: {', '.join(names[:number]) or 'none'}"
    )
    _tell(found, names[number], f"reads from {brief(wanted, 60)!r}, which is no earlier stage", why)
    return None


def check(staged: Staged, today: date) -> None:
    """Find what can be known of every stage before the first is sent.

    Raises:
        InvalidRequests: with everything that is wrong, by stage.
    """
    found = Findings()
    for part in staged.parts:
        try:
            models.find(part.model, today)
            _check_texts(part, part.plan(staged), found)
        except InvalidRequests as error:
            for each in error.problems:
                _tell(found, part.name, each.problem, each.fix)
        except UnknownModel as error:
            _tell(found, part.name, str(error), None)
    if found.count:
        raise found.refusal(staged.source)


def _check_texts(part: Part, made: Plan, found: Findings) -> None:
    """Read the templates of a stage, and see that its items are for its model."""
    named = {str(each["model"]) for each in made.items or [] if is_object(each) and each.get("model")}
    if others := {each.removeprefix("models/") for each in named} - {part.model.removeprefix("models/")}:
        _tell(found, part.name, f"has items for {brief(min(others), 60)!r} too", "give each model a stage")
    templates = Templates()
    for text in [*_texts(made.common), made.manifest.key or ""]:
        try:
            templates.need(text)
        except TemplateFault as error:
            _tell(found, part.name, error.problem, error.fix)


def by_stage(name: str, error: InvalidRequests) -> list[Problem]:
    """The problems of a stage, with its name."""
    said = f"stage {brief(name, 40)!r}: "
    return [each.model_copy(update={"problem": said + each.problem}) for each in error.problems]


def _tell(found: Findings, name: str, problem: str, fix: str | None) -> None:
    found.problem(f"stage {brief(name, 40)!r}: {problem}", fix)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inside = value.values() if is_object(value) else value if is_list(value) else ()
    return [text for each in inside for text in _texts(each)]
