"""The data file `outputs.toml`: what a row is assumed to write."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


def assumed(section: str, name: str) -> tuple[float, float, float]:
    """Low, likely and high tokens of one entry."""
    low, likely, high = data()[section][name]
    return low, likely, high


@cache
def data() -> dict[str, Any]:
    """Read the data file, once."""
    return tomllib.loads(files("genai_batch.resources").joinpath("outputs.toml").read_text("utf-8"))
