"""The preflight stays near the speed of a parser; `make bench` measures how near."""

from dataclasses import replace
from pathlib import Path

from preflight import KINDS, measure, seconds, write

GENEROUS = 4
"""More than twice what `make bench` shows: it catches the loss of the fast path, which costs ten times the floor."""


def test_the_preflight_takes_a_small_multiple_of_bare_parsing(tmp_path: Path) -> None:
    source = write(replace(KINDS[0], lines=60_000), tmp_path)
    passes = measure(source, 3, ("floor", "one"))
    assert min(each.cpu for each in passes["one"]) <= GENEROUS * min(each.cpu for each in passes["floor"])
    assert seconds(passes["one"]) > 0
