"""From items to lines: keys, templates, files and settings become `{key, request, output?, …columns}`, one by one."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from os.path import normpath
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import msgspec
from pydantic import ValidationError

from genai_batch.resources import extras
from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.errors import BatchError, InvalidRequests, PathNotAllowed
from genai_batch.resources.lint import GENERATION, MISPLACED, snake
from genai_batch.resources.media.names import fault as fault_of_path
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.sources import braces
from genai_batch.resources.sources.attaching import Attaching
from genai_batch.resources.sources.cells import Blob
from genai_batch.resources.sources.chosen import Chosen
from genai_batch.resources.sources.column_names import KEY, VARIANT
from genai_batch.resources.sources.empty_cells import EmptyCells
from genai_batch.resources.sources.manifest import Plan, slip_of, texts_in, told
from genai_batch.resources.sources.parts import Looked, Part, Reach, Unusable, attached, is_uri, of_name, text_of
from genai_batch.resources.sources.prompt_files import PromptFiles
from genai_batch.resources.sources.recipe import OF_REQUEST, Recipe, embeds, over, request_of
from genai_batch.resources.sources.selection import Selection, Sent
from genai_batch.resources.sources.supply import Item, Supply
from genai_batch.resources.sources.taken import Taken
from genai_batch.resources.sources.templates import TemplateFault, Templates, blob_name, is_template
from genai_batch.resources.untyped import is_object, items

_SCHEMA = "see `genai-batch build --schema`"
_OURS = frozenset({"key", "request", "output"})
_NAMES_TEXT = re.compile(r"\{[{%][^}]*\btext\b")
_FILES = ("images", "files")
_NAMED = 5
_encode = msgspec.json.Encoder().encode


class Compiled(NamedTuple):
    """What became of a source: lines written, requests left out since they were not changed, models that were named."""

    rows: int
    unchanged: int
    models: tuple[str, ...]
    found: Findings


class _LeftOut(Unusable):
    """A file of a folder turned out to be unusable when it was read."""


class _Made(NamedTuple):
    key: str
    request: dict[str, Any]
    beside: dict[str, Any]

    def put(self, target: IO[bytes], beside: IO[bytes] | None) -> None:
        """Write the line, and what stands beside the request into a file of its own, where there is one."""
        line = {"key": self.key, "request": self.request}
        if beside is None:
            line |= self.beside
        elif self.beside:
            beside.write(_encode({"key": self.key, **self.beside}) + b"\n")
        target.write(_encode(line) + b"\n")


class Compiler:
    """Makes the lines of one plan."""

    def __init__(
        self, plan: Plan, supply: Supply, reach: Reach, model: str | None, selection: Selection, attaching: Attaching
    ) -> None:
        """Use `model` for all items, if it is given; else what the plan and its items say.

        Raises:
            InvalidRequests: a file that a prompt for all items names cannot be used.
            PathNotAllowed: it lies where nothing may be read.
        """
        self.found, self._attaching = Findings(), attaching
        self._plan, self._reach, self._asked, self._is_told = plan, reach, model, False
        self._is_literal = False
        self._models: dict[str, None] = {}
        self._templates, self._taken = Templates(), Taken()
        self._supply = supply
        self._chosen = Chosen(supply, plan.manifest.key, selection, self._templates)
        self._prompt_files = PromptFiles(plan.base, reach)
        common = {name: value for name, value in plan.common.items() if name != "model"}
        try:
            self._common = self._prompt_files.resolved(common)
        except Unusable as error:
            raise InvalidRequests(plan.source, [Problem(problem=error.problem, fix=error.fix)]) from error
        self._has_text = any(_NAMES_TEXT.search(each) for each in texts_in(self._common))
        self._model = plan.common.get("model")
        self._cells = EmptyCells()
        self._blobs: list[Blob] = []
        self._encrypted: dict[str, None] = {}
        self._is_checked = False

    def write(self, target: IO[bytes], sent: Sent | None = None, beside: IO[bytes] | None = None) -> Compiled:
        """Write every line; those that `sent` holds already are left out.

        Outputs and columns go to `beside`, so that all lines are alike and soon read, or without it into the lines.

        Raises:
            InvalidRequests: with every problem found.
            BatchError: the source cannot be read.
        """
        rows = unchanged = 0
        for name in self._plan.kept:
            if (slip := slip_of(name)) and (slip.certain or not self._plan.uses(name)):
                tell = self.found.problem if slip.certain else self.found.warn
                tell(f"defaults: {slip.problem}", slip.fix)
        for made in self._made():
            if sent is not None and sent.has(made.key, made.request):
                unchanged += 1
                continue
            rows += 1
            if rows == 1 and beside is not None and (types := self._supply.types()):
                apart = extras.named_apart(types, _is_taken)
                beside.write(extras.header({apart.get(name, name): kind for name, kind in types.items()}))
            made.put(target, beside)
        self._report_moved(sent.moved if sent else 0)
        self._tell_overwritten()
        self._taken.close()
        self._cells.report(self.found)
        self._report_encrypted()
        self._chosen.tell_missing(self.found)
        if self.found.count:
            raise self.found.refusal(self._plan.source)
        if not rows:
            why = f"all {unchanged:,} requests were sent just so before" if unchanged else self._nothing()
            raise BatchError(f"{self._plan.source} makes no requests: {why}. Nothing was sent.")
        return Compiled(rows, unchanged, tuple(self._models), self.found)

    def _nothing(self) -> str:
        """Why nothing was made where nothing is wrong."""
        left_out = [each.sentence() for each in self.found.warnings]
        more = f" (and {len(left_out) - 1:,} more)" if len(left_out) > 1 else ""
        return f"{left_out[0]}{more}" if left_out else "nothing was found"

    def _made(self) -> Iterator[_Made]:
        """Make what is wanted; what is wrong is told, each with its place."""
        for item in self._chosen.items(self.found):
            try:
                yield from self._variants(item)
            except _LeftOut as error:
                strict = self._plan.manifest.strict
                tell = self.found.problem if strict else self.found.warn
                tell(f"{item.place} {error.problem}{'' if strict else ' and is left out'}", error.fix)
            except (Unusable, TemplateFault) as error:
                self._tell(item, error.problem, error.fix)
            except ValidationError as error:
                for each in told(error):
                    self._tell(item, each, _SCHEMA)
            except (PathNotAllowed, ValueError, OverflowError, TypeError) as error:
                self._tell(item, str(error), None)

    def _tell(self, item: Item, problem: str, fix: str | None) -> None:
        key = item.key if item.key != item.named else None  # the place says it
        key = key and key.encode(errors="backslashreplace").decode()
        self.found.problem(f"{item.place}: {problem}", fix, key=key)

    def _variants(self, item: Item) -> Iterator[_Made]:
        if item.fault:
            raise Unusable(*item.fault)
        if not self._is_checked:
            self._is_checked = True
            ours = {"key": item.key, **({"text": ""} if item.files else {})}
            braces.check(self._common, {**ours, **item.columns}, self._templates, self.found)
        own = self._own_fields(item)
        self._templates.empty.clear()
        self._blobs.clear()
        model = self._note_model(item)
        if is_template(own.get("prompt")) and self._plan.items is not None and not self._is_literal:
            self._is_literal = True
            said = f"{item.place}: its prompt is sent as it is written, with its braces"
            self.found.warn(said, "a template for all items is written into defaults")
        first = self._recipe(item, own, 1)
        _speak(first, item, model)
        parts = self._parts(item, first)
        for number in range(1, first.count + 1):
            recipe = first if number == 1 else self._recipe(item, own, number)
            _speak(recipe, item, model)
            key = f"{item.key}-{number}" if first.count > 1 else str(item.key)
            if not self._chosen.means(item, key):
                continue
            if first.count > 1:
                _seed(recipe, number)
            self._take(item, key)
            request = request_of(recipe, parts, model)
            output = self._output(item, recipe, number if first.count > 1 else None)
            kept = _kept(item)
            variant = {"variant_of": item.key, "variant": number} if first.count > 1 else {}
            variant = {f"_{name}" if name in kept else name: value for name, value in variant.items()}
            yield _Made(key, request, {**output, **kept, **variant})
        self._cells.count(self._templates.empty)

    def _own_fields(self, item: Item) -> dict[str, Any]:
        """Return the fields that an item states itself, with its prompt files read."""
        own = {name: value for name, value in item.own.items() if name != "model"}
        if self._plan.items is not None:
            own = self._prompt_files.resolved(own)
        if "request" in own and (name := next(iter(sorted(own.keys() & OF_REQUEST)), None)):
            raise Unusable(f"has a request and {name!r} beside it, which would not be sent", f"put {name} into request")
        return own

    def _note_model(self, item: Item) -> str | None:
        """Note for which model an item is."""
        named = item.own.get("model")
        if named is not None and self._asked is not None and named != self._asked and not self._is_told:
            self._is_told = True
            said = f"{item.place}: names another model, {brief(str(named), 60)!r}; all run on {self._asked}"
            self.found.warn(said, "state no model to run items as they say")
        used = self._asked or named or self._model
        if used is not None:
            self._models[str(used)] = None
        return used

    def _recipe(self, item: Item, own: dict[str, Any], variant: int) -> Recipe:
        """Fill what holds for all with the columns, and put over it what the item says itself."""
        replaced = {"prompt", "contents", "request"} if own.keys() & {"prompt", "contents", "request"} else set[str]()
        common = {name: each for name, each in self._common.items() if name not in own and name not in replaced}
        ours = {"key": item.key, "variant": variant, KEY: item.key, VARIANT: variant}
        columns = {**item.columns, **{name: value for name, value in ours.items() if name not in item.columns}}
        if self._has_text and item.files and item.files[0][1].is_text and "text" not in columns:
            columns["text"] = _text(item.files[0][1])
        common |= {name: self._file_names(item, common.pop(name), columns) for name in _FILES if name in common}
        return Recipe.model_validate(over(own, self._templates.fill(common, columns)))

    def _file_names(self, item: Item, names: Any, columns: Mapping[str, Any]) -> list[Any]:
        """Fill the templates that name files, in which a cell may hold the file itself."""
        filled: list[Any] = []
        for name in items(names):
            if not is_template(name):
                filled.append(name)
                continue
            written = self._templates.attached(name, columns, self._blobs)
            filled += written
            if not any(map(str.strip, written)):
                self._cells.without_file(item.place, item.key)
        return filled

    def _parts(self, item: Item, recipe: Recipe) -> list[Part]:
        """The files of an item: those it was found by, then those it names."""
        for path in [*(str(file.path) for _, file in item.files), *recipe.images, *recipe.files]:
            self._note_read(path)
        inside = item.files[:1] if self._has_text else []
        own = [(path, file) for path, file in item.files if not (file.is_text and (path, file) in inside)]
        blobs = {blob_name(number): blob for number, blob in enumerate(self._blobs)} if self._blobs else None
        names = [*recipe.images, *recipe.files]
        named = attached(names, self._plan.base, self._reach, self._attaching.most, blobs)
        files = [*own, *((name, each) for name, each in named if isinstance(each, Looked))]
        self._encrypted.update(dict.fromkeys(name for name, file in files if file.is_encrypted))
        is_shared = recipe.count > 1
        shared = {file.path for name, file in files if is_shared or name in self._attaching.shared}
        made = self._attaching.parts([file for _, file in files], shared, str(item.key))
        before = [_read(made) for _ in own]
        return [*item.media, *before, *(_named(name, each, made) for name, each in named)]

    def _note_read(self, path: str) -> None:
        """Note a file that is read, where outputs may lie beside it: below the manifest."""
        if self._plan.base is None or is_uri(path):
            return
        with suppress(ValueError):
            inside = Path(normpath(self._plan.base / path)).relative_to(self._plan.base)
            self._taken.read(inside.as_posix())

    def _tell_overwritten(self) -> None:
        if self._plan.base is not None:
            self._note_read(self._plan.source)
            for path in (self._plan.manifest.data or "", *self._prompt_files.read):
                self._note_read(path)
        count, name = self._taken.overwritten()
        if count:
            more = f", and {count - 1:,} more" if count > 1 else ""
            said = (
                f"output {brief(name, 80)!r} is a file that is read here{more}: written beside the manifest, it is lost"
            )
            self.found.warn(said, "have the results written to a folder of their own")

    def _report_moved(self, rows: int) -> None:
        if not rows:
            return
        problem = f"{rows:,} requests were sent under another number of a row, since the rows have no keys"
        loss = "in a table of results, new answers take the place of earlier ones with the same number"
        self.found.warn(f"{problem}; {loss}", "name a column as key, or write to a new folder")

    def _report_encrypted(self) -> None:
        if not self._encrypted:
            return
        names = [repr(brief(name, 80)) for name in self._encrypted]
        are = f"{len(names):,} PDFs are encrypted" if len(names) > 1 else "1 PDF is encrypted"
        more = ", …" if len(names) > _NAMED else ""
        said = f"{are}, and what needs a password fails its row: {', '.join(names[:_NAMED])}{more}"
        self.found.warn(said, "save them without a password, or ignore them")

    def _take(self, item: Item, key: str) -> None:
        if place := self._taken.key(key, item.place):
            which = "" if key == item.key else f" {brief(key, 80)!r}"
            raise Unusable(f"repeats the key{which} of {place}", "make keys unique")

    def _output(self, item: Item, recipe: Recipe, variant: int | None) -> dict[str, str]:
        """Where the answer goes, if anything says so; a variant gets its number, unless the template has it."""
        if recipe.output is None:
            return {}
        path = recipe.output.replace("\\", "/").removeprefix("./")
        ours = VARIANT if "variant" in item.columns else "variant"
        if variant is not None and ours not in str(self._common.get("output")):
            whole = PurePosixPath(path)
            path = str(whole.with_name(f"{whole.stem}-{variant}{whole.suffix}")) if whole.name else path
        if why := fault_of_path(path):
            raise Unusable(f"output {brief(path, 80)!r}: {why}", "give a path inside the folder of results")
        if place := self._taken.path(path, item.place):
            raise Unusable(f"output {brief(path, 80)!r} is that of {place}, or a folder of it", "make paths differ")
        return {"output": path}


def _text(file: Looked) -> str:
    try:
        return text_of(file)
    except Unusable as error:
        raise _LeftOut(error.problem, error.fix) from error


def _read(made: Iterator[Part]) -> Part:
    """The part of the next file of a folder, which may be left out."""
    try:
        return next(made)
    except Unusable as error:
        raise _LeftOut(error.problem, error.fix) from error


def _named(name: str, each: Part | Looked, made: Iterator[Part]) -> Part:
    """The part of a file that an item names, which it cannot do without."""
    if not isinstance(each, Looked):
        return each
    try:
        return next(made)
    except Unusable as error:
        raise of_name(name, error) from error


def _seed(recipe: Recipe, number: int) -> None:
    """Give a variant a seed of its own, counted from the one that is stated, if one is."""
    settings = dict(recipe.generation_config or {})
    stated = settings.pop("seed", None) if recipe.seed is None else recipe.seed
    recipe.generation_config = settings
    recipe.seed = number if stated is None else stated + number - 1


def _speak(recipe: Recipe, item: Item, model: str | None) -> None:
    """Where nothing is said of what to embed, it is the column `text`."""
    text = item.columns.get("text")
    said = recipe.prompt or recipe.contents or recipe.request or item.files or item.media
    if embeds(model) and not said and isinstance(text, str):
        recipe.prompt = text


def _is_taken(name: str) -> bool:
    """Whether a field of this name beside a request would be taken for a part of it."""
    plain = snake(name)
    return plain in _OURS or plain in MISPLACED or plain in GENERATION


def _kept(item: Item) -> dict[str, Any]:
    """The fields of an item that stand beside its request, under names that they can have there."""
    kept = {name: value for name, value in item.kept.items() if not _is_again(item, name, value)}
    apart = extras.named_apart(kept, _is_taken)
    return {apart.get(name, name): value for name, value in kept.items()} if apart else kept


def _is_again(item: Item, name: str, value: Any) -> bool:
    """Whether a field only says the key again, is in the request already, or is another request.

    The column `id` of a table stays though the key is made of it: the user knows the rows by it.
    """
    if name == "request" and is_object(value):
        return True
    if name == "key" or (name == "id" and item.needs_id):
        return str(value) == item.key
    return name in item.own and (item.needs_id or name != "prompt")
