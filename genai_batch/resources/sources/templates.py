"""Prompt templates: Jinja in a sandbox, filled with the columns of a row, which are data and never templates."""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from jinja2 import StrictUndefined, nodes
from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.meta import find_undeclared_variables

from genai_batch.resources.answers import brief
from genai_batch.resources.sources.cells import Blob, BytesInText, is_empty
from genai_batch.resources.sources.column_names import KEY, ROW, VARIANT, AmbiguousName, ColumnNames
from genai_batch.resources.sources.fence import BLOB_MEMBERS, FILTERS, MOST_TEXT, Fenced, check
from genai_batch.resources.untyped import is_list, is_object

MOST_TEMPLATE = 200_000
"""Characters of a template itself."""
_SHOWN = 12
_REMEMBERED = 10_000
_NAME_ALONE = re.compile(r"\{\{-?\s*[^{}|\"']+?(?=-?\}\}|\|)")
_AND = "\0and\0"
"""What stands between the files of one cell."""
_BLOB_NAME = re.compile("\0blob\\d+\0")


class TemplateFault(Exception):
    """A template that cannot be read, or not be filled with a row; `fix` says what to do."""

    def __init__(self, problem: str, fix: str) -> None:
        """Say both."""
        super().__init__(problem)
        self.problem, self.fix = problem, fix


def is_template(value: object) -> bool:
    """Whether a text has places to be filled."""
    return isinstance(value, str) and ("{{" in value or "{%" in value or "{#" in value)


class _Compiled(NamedTuple):
    """A template that was read: what fills it, the names it takes from outside, the columns it writes as they are."""

    template: Any
    names: frozenset[str]
    written: tuple[str, ...]


class Templates:
    """Templates of one source, each read once.

    `empty` collects the columns whose cells a template wrote although they hold nothing, until somebody clears it.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._attached: list[Blob] | None = None
        self._env = Fenced(
            undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, finalize=self._shown
        )
        self._read: dict[str, _Compiled] = {}
        self._rewritten: dict[tuple[str, tuple[str, ...]], tuple[_Compiled, Mapping[str, str]]] = {}
        self._columns: tuple[tuple[str, ...], ColumnNames] = ((), ColumnNames(()))
        self.empty: set[str] = set()

    def fill(self, value: Any, columns: Mapping[str, Any]) -> Any:
        """Fill every text in a value that has places; what has none stays what it is.

        Raises:
            TemplateFault: one cannot be read or filled.
        """
        if isinstance(value, str):
            return self.text(value, columns) if is_template(value) else value
        if is_list(value):
            return [self.fill(each, columns) for each in value]
        if is_object(value):
            return {name: self.fill(each, columns) for name, each in value.items()}
        return value

    def need(self, text: str) -> None:
        """Read a text, if it has places, without filling it; its columns are not known yet.

        Raises:
            TemplateFault: it cannot be read, whatever the columns are called.
        """
        if not is_template(text) or text in self._read:
            return
        try:
            self._compiled(text)
        except TemplateFault:
            guessed = _NAME_ALONE.sub("{{ column ", text)
            if guessed == text:
                raise
            self._compiled(guessed)

    def attached(self, template: str, columns: Mapping[str, Any], blobs: list[Blob]) -> list[str]:
        """Fill a template that names files; the bytes of a cell are added to `blobs` and named by `blob_name`.

        Raises:
            TemplateFault: it cannot be read or filled.
        """
        self._attached, empty = blobs, set(self.empty)
        try:
            text = self.text(template, columns)
        finally:
            self._attached, self.empty = None, empty
        return [name for part in text.split(_AND) for name in _BLOB_NAME.findall(part) or [part]]

    def text(self, template: str, columns: Mapping[str, Any]) -> str:
        """Fill one template.

        Raises:
            TemplateFault: it cannot be read or filled.
        """
        compiled, aliases = self._of_columns(template, columns)
        self._env.rounds, size = 0, 0
        pieces: list[str] = []
        named = {alias: columns[column] for alias, column in aliases.items()}
        for name in compiled.written:
            if is_empty(columns.get(column := aliases.get(name, name), "-")):
                self.empty.add(column)
        try:
            own = {"row": columns, ROW: columns, **named, **columns, self._columns[1].row: columns}
            for piece in compiled.template.generate(own):
                pieces.append(piece)
                if (size := size + len(piece)) > MOST_TEXT:
                    raise SecurityError(f"it makes more than {MOST_TEXT:,} characters")
        except UndefinedError as error:
            raise _undefined(error, columns) from error
        except BytesInText as error:
            said = f"the column {brief(error.column, 60)!r} holds bytes, which no text can hold"
            raise TemplateFault(
                said, f'attach them: images: ["{{{{ {brief(error.column, 40)} }}}}"] (or files)'
            ) from error
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
            said = brief(" ".join(str(error).split()), 160)
            raise TemplateFault(f"the template cannot be filled: {said}", f"mend {_quoted(template)}") from error
        return "".join(pieces)

    def names_column(self, template: str, columns: Mapping[str, Any]) -> bool:
        """Whether a template takes anything from the columns.

        Raises:
            TemplateFault: it cannot be read.
        """
        compiled, aliases = self._of_columns(template, columns)
        return bool(aliases) or not compiled.names.isdisjoint({*columns, "row", ROW, self._columns[1].row, "key", KEY})

    def _of_columns(self, template: str, columns: Mapping[str, Any]) -> tuple[_Compiled, Mapping[str, str]]:
        """A template as it reads for these columns, and the columns that it names by another spelling."""
        keys = tuple(columns)
        if self._columns[0] != keys:
            self._columns = (keys, ColumnNames(keys))
        if (stored := self._rewritten.get((template, keys))) is not None:
            return stored
        names = self._columns[1]
        try:
            text = names.rewritten(template)
            compiled = self._read.get(text) or self._compiled(text)
            aliases = names.aliases(compiled.names)
        except AmbiguousName as error:
            fix = f'write {{{{ row["{brief(error.columns[0], 40)}"] }}}} for the one that is meant'
            raise TemplateFault(error.problem, fix) from error
        if len(self._rewritten) >= _REMEMBERED:
            self._rewritten.clear()
        self._rewritten[template, keys] = compiled, aliases
        return compiled, aliases

    def _shown(self, value: Any) -> Any:
        """An empty cell is an empty text; a table or list is shown as JSON; bytes are only attached."""
        if value is None:
            return ""
        if self._attached is not None and (is_list(value) or isinstance(value, Blob)):
            return _AND.join(self._names(value, self._attached))
        if isinstance(value, Blob):
            raise BytesInText(value.column)
        if isinstance(value, dict | list | tuple):
            import msgspec

            if blobs := _blobs_in(value):
                raise BytesInText(blobs[0].column)
            return msgspec.json.encode(value, enc_hook=str).decode()
        return value

    def _names(self, value: Any, blobs: list[Blob]) -> Iterator[str]:
        """Name the files of a cell that holds a list of them, or bytes, which are added to `blobs`."""
        if isinstance(value, Blob):
            blobs.append(value)
            yield blob_name(len(blobs) - 1)
        elif is_list(value):
            for member in value:
                yield from self._names(member, blobs)
        elif not is_empty(value):
            yield str(self._shown(value))

    def _compiled(self, template: str) -> _Compiled:
        if len(template) > MOST_TEMPLATE:
            raise TemplateFault(
                f"the template has more than {MOST_TEMPLATE:,} characters", "put long texts into columns"
            )
        try:
            tree = check(self._env.parse(template))
            names, written = frozenset(find_undeclared_variables(tree)), tuple(_written(tree))
            code = self._env.compile(tree)
        except TemplateSyntaxError as error:
            fix = f"filters are {', '.join(sorted(FILTERS))}" if "filter" in str(error) else f"mend {_quoted(template)}"
            said = f"the template is wrong at its line {error.lineno}: {brief(str(error.message), 120)}"
            raise TemplateFault(said, fix) from error
        except (RecursionError, SyntaxError, MemoryError) as error:
            raise TemplateFault("the template is nested too deeply", f"mend {_quoted(template)}") from error
        filler = self._env.template_class.from_code(self._env, code, self._env.globals)
        self._read[template] = _Compiled(filler, names, written)
        return self._read[template]


def blob_name(number: int) -> str:
    """What stands in a list of files for the bytes of a cell."""
    return f"\0blob{number}\0"


def _blobs_in(value: Any) -> list[Blob]:
    if isinstance(value, Blob):
        return [value]
    inside: Iterable[Any] = value.values() if is_object(value) else value if is_list(value) else ()
    return [blob for each in inside for blob in _blobs_in(each)]


def _written(tree: nodes.Template) -> Iterator[str]:
    """The columns whose cells a template writes as they are, without asking first whether they hold anything."""
    conditions = [condition.test for condition in tree.find_all((nodes.If, nodes.CondExpr))]
    expressions = [part for test in conditions for part in (test, *test.find_all(nodes.Expr))]
    asked = {_column(expression) for expression in expressions}
    for output in tree.find_all(nodes.Output):
        for node in output.nodes:
            yield from (name for name in _columns_in(node) if name not in asked)


def _columns_in(node: nodes.Node | None) -> Iterator[str]:
    """The columns whose cells become part of the text of an expression; one with a default does not count."""
    if (name := _column(node)) is not None:
        yield name
        return
    parts: list[nodes.Node | None] = []
    if isinstance(node, nodes.Filter) and node.name not in ("default", "d"):
        parts = [node.node]
    elif isinstance(node, nodes.Concat | nodes.List):
        parts = [*(node.nodes if isinstance(node, nodes.Concat) else node.items)]
    elif isinstance(node, nodes.Add):
        parts = [node.left, node.right]
    elif isinstance(node, nodes.CondExpr):
        parts = [node.expr1, node.expr2]
    elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
        parts = [node.node.node]
    for part in parts:
        yield from _columns_in(part)


def _column(node: nodes.Node | None) -> str | None:
    """The column that an expression is: `name`, `row.name`, `row["name"]` or `row.get("name")`; None for any other."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr) and node.node.attr == "get":
        return _constant(node.args[0]) if _is_row(node.node.node) and len(node.args) == 1 else None
    if isinstance(node, nodes.Getattr) and _is_row(node.node):
        return node.attr
    return _constant(node.arg) if isinstance(node, nodes.Getitem) and _is_row(node.node) else None


def _is_row(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name.rstrip("_") in ("row", ROW)


def _constant(node: nodes.Node | None) -> str | None:
    return str(node.value) if isinstance(node, nodes.Const) else None


def _undefined(error: UndefinedError, columns: Mapping[str, Any]) -> TemplateFault:
    said = str(error.message or "a name is undefined")
    if said.startswith(BLOB_MEMBERS):
        return TemplateFault(said, "name .bytes in images or files, and .path in a text")
    name = said.split("'")[1] if said.count("'") > 1 else ""
    shown = [column for column in columns if column not in (KEY, VARIANT)]
    near = get_close_matches(name, shown, 1)
    there = ", ".join(brief(column, 40) for column in shown[:_SHOWN]) + ", …" * (len(shown) > _SHOWN)
    guess = f"did you mean {brief(near[0], 40)!r}? " if near else ""
    return TemplateFault(f"in the template {brief(said, 120)}", f"{guess}There are: {there or 'no columns'}")


def _quoted(template: str) -> str:
    return repr(brief(template, 60))
