"""The items of a source that a selection means, each with its key."""

from collections.abc import Iterator
from typing import Any

from genai_batch.resources.answers import brief
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.preflight.keys import MAX_KEY
from genai_batch.resources.sources.column_names import AmbiguousName, ColumnNames
from genai_batch.resources.sources.parts import Unusable
from genai_batch.resources.sources.selection import Selection
from genai_batch.resources.sources.supply import Item, Supply
from genai_batch.resources.sources.templates import TemplateFault, Templates, is_template

_SHOWN = 12


class Chosen:
    """Items with their keys. `rule` is a column, or a template of several; without one an item has its id or number."""

    def __init__(self, supply: Supply, rule: str | None, selection: Selection, templates: Templates) -> None:
        """Choose among what is supplied."""
        self._supply, self._rule, self._selection, self._templates = supply, rule, selection, templates
        self._only = frozenset(selection.only)
        self._wanted = set(self._only)

    def items(self, found: Findings) -> Iterator[Item]:
        """Yield what is meant, in order; an item without a usable key is told in `found`."""
        selection = self._selection
        drawn = None
        if selection.sample is not None:
            drawn = selection.drawn(sum(1 for _ in self._keyed(Findings())))
            self._wanted = set(self._only)
        passed = 0
        for number, item in enumerate(self._keyed(found)):
            if drawn is not None and number not in drawn:
                continue
            if selection.limit is not None and passed >= selection.limit:
                return
            passed += 1
            yield item

    def means(self, item: Item, key: str) -> bool:
        """Whether a variant of an item that is meant is meant itself."""
        return not self._only or item.key in self._only or key in self._only

    def tell_missing(self, found: Findings) -> None:
        """Tell the keys that were asked for and never met, unless a limit ended the search."""
        for key in sorted(self._wanted if self._selection.limit is None else ()):
            found.problem(f"select.only names the key {brief(key, 80)!r}, which no item has", "check its spelling")

    def _keyed(self, found: Findings) -> Iterator[Item]:
        for number, item in enumerate(self._supply.items(found), 1):
            if not item.fault:
                try:
                    item.key = self._key_of(item, number)
                except (TemplateFault, Unusable) as error:
                    found.problem(f"{item.place}: {error.problem}", error.fix)
                    continue
            if not self._only:
                yield item
            elif item.key is not None and (met := self._met(item.key)):
                self._wanted -= met
                yield item

    def _met(self, key: str) -> set[str]:
        """The keys asked for that an item has, itself or in its variants."""
        return {each for each in self._only if each == key or each.startswith(f"{key}-")}

    def _key_of(self, item: Item, number: int) -> str:
        found = self._found(item, number)
        key = "" if found is None else str(found).strip()
        if not key:
            raise Unusable("its key is empty", "fill that column, or write key as a template of several")
        if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY:
            raise Unusable(f"its key is longer than {MAX_KEY} bytes", "use a shorter key")
        return key

    def _found(self, item: Item, number: int) -> Any:
        rule = self._rule
        if rule is None:
            return item.key if item.key is not None else _own(item, number)
        if is_template(rule):
            return self._templates.text(rule, item.columns)
        if rule not in item.columns:
            if (column := _other_spelling(rule, item)) is not None:
                return item.columns[column]
            inside = rule.strip("${} ")
            if inside != rule and (inside in item.columns or _other_spelling(inside, item) is not None):
                raise Unusable(f"key {brief(rule, 60)!r} is no template", f"write key: '{{{{ {brief(inside, 60)} }}}}'")
            there = ", ".join(brief(name, 40) for name in list(item.columns)[:_SHOWN])
            raise Unusable(f"has no column {brief(rule, 60)!r} for its key", f"there are: {there}")
        return item.columns[rule]


def _other_spelling(rule: str, item: Item) -> str | None:
    """The column that a rule names with underscores for other characters."""
    try:
        return ColumnNames(item.columns).meant(rule)
    except AmbiguousName as error:
        raise Unusable(error.problem, "write it as it stands in the table") from error


def _own(item: Item, number: int) -> str:
    """The key of a row that nothing is said of: its column `key` or `id`, else its number."""
    if item.needs_id:
        raise Unusable("has no id", "give each item a unique id")
    named = (item.columns.get(name) for name in ("key", "id"))
    return next((str(found) for found in named if found not in (None, "")), f"row-{number:06}")
