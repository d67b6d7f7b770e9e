"""The data file `tokens.toml`: what each feature costs, when it was measured and from what."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def coefficients() -> dict[str, Any]:
    """Read the data file, once."""
    return tomllib.loads(files("genai_batch.resources.tokens").joinpath("tokens.toml").read_text("utf-8"))
