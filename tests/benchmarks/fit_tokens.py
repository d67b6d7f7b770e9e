"""Fit the coefficients of `tokens.toml` on pairs of something sent and the tokens it cost, and write them there.

python -m tests.benchmarks.fit_tokens FILE [--dry-run]
"""

import argparse
import re
from collections.abc import Iterable, Sequence
from operator import add
from pathlib import Path
from typing import Any

import genai_batch.resources.tokens as package
from genai_batch.resources.tokens import declared
from genai_batch.resources.tokens.declared import Declared
from genai_batch.resources.tokens.text import NAMES, features, of_text, use
from genai_batch.resources.untyped import as_object, field, is_object, items
from tests.benchmarks.least_squares import Prior, dot, robust, solve
from tests.benchmarks.token_pairs import MEDIA, Pair, read

DATA = Path(package.__file__).with_name("tokens.toml")
Weights = dict[str, list[float]]
"""Coefficients by section of the data file."""

ASSUMED = 1e6
PRIORS = {
    "accented": Prior(2, 0.05), "transliterated": Prior(1, 0.05), "han": Prior(0.7, 2), "kana": Prior(0.55, 2),
    "hangul": Prior(0.8, 2), "devanagari": Prior(0.26, 2), "cyrillic": Prior(0.23, ASSUMED),
    "greek": Prior(0.5, ASSUMED), "hebrew": Prior(0.55, ASSUMED), "arabic": Prior(0.45, ASSUMED),
    "thai": Prior(0.45, ASSUMED), "other_indic": Prior(0.45, ASSUMED), "other": Prior(0.8, ASSUMED),
}  # fmt: skip
"""What is believed of a script before the pairs; where they hold none of it, that is what is written."""
TOOLS = {
    "functions": Prior(4, 0.01), "heads": Prior(1, 0.01), "parameters": Prior(0.8, 0.01), "calls": Prior(0, 0.01),
    "call_text": Prior(0.5, 0.01), "responses": Prior(0, 0.01), "response_text": Prior(1, 0.01),
}  # fmt: skip


def fit(pairs: Sequence[Pair]) -> Weights:
    """Fit text first, then what declarations cost on top of it."""
    text = _fit_text([pair for pair in pairs if pair.kind in ("prompt", "response", "text") and not pair.calls])
    use(text)
    found: Weights = {"text": text, "schema": _fit_schema(pairs)}
    for way in ("full", "words"):
        found[f"tools.{way}"] = _fit_tools([pair for pair in pairs if _way(pair) == way], way)
    return found


def predict(weights: Weights, pair: Pair) -> float | None:
    """What `pair` would be estimated at with these coefficients."""
    use(weights["text"])
    if pair.kind in MEDIA:
        return pair.estimate()
    extra = sum(dot(weights[f"tools.{_way(pair)}"], each) for each in _declared(pair))
    return extra if pair.calls else _plain(pair) + extra + dot(weights["schema"], _schema(pair))


def write(weights: Weights, path: Path = DATA) -> None:
    """Put the numbers into the data file and leave all else as it stands."""
    names = {"text": NAMES, "schema": ("words", "vertex")}
    content, section = path.read_text("utf-8").splitlines(), ""
    for number, line in enumerate(content):
        if header := re.fullmatch(r"\[([\w.]+)\]", line):
            section = header[1]
        elif section in weights and (entry := re.match(r"(\w+) = ", line)):
            place = names.get(section, Declared._fields).index(entry[1])
            content[number] = f"{entry[1]} = {weights[section][place]:.4g}"
    path.write_text("\n".join(content) + "\n", "utf-8")


def _fit_text(pairs: Sequence[Pair]) -> list[float]:
    rows = [_features(pair.texts) for pair in pairs]
    return solve(
        rows,
        [pair.tokens - pair.turns for pair in pairs],
        [1 / (pair.tokens + 8) for pair in pairs],
        [PRIORS.get(name, Prior()) for name in NAMES],
    )


def _fit_tools(pairs: Sequence[Pair], way: str) -> list[float]:
    used = [pair for pair in pairs if (pair.kind == "tools" or pair.calls) and _declared(pair)]
    rows = [[sum(values) for values in zip(*_declared(pair), strict=True)] for pair in used]
    rest = [pair.tokens - (0 if pair.calls else _plain(pair)) for pair in used]
    priors = dict(TOOLS) if way == "full" else TOOLS | {"functions": Prior(0, 0.01)}
    return robust(rows, rest, [pair.tokens + 8 for pair in used], list(priors.values()))


def _fit_schema(pairs: Sequence[Pair]) -> list[float]:
    used = [pair for pair in pairs if pair.kind == "schema" and any(_schema(pair))]
    rows = [_schema(pair) for pair in used]
    rest = [pair.tokens - _plain(pair) for pair in used]
    return robust(rows, rest, [pair.tokens + 8 for pair in used], [Prior(1, 0.01), Prior(2, 0.01)])


def _way(pair: Pair) -> str:
    return declared.way(pair.model, pair.provider)


def _features(texts: Iterable[str]) -> list[float]:
    sums = [0.0] * len(NAMES)
    for text in texts:
        found = features(text.encode("utf-8", "surrogatepass"))
        sums = [*map(add, sums, [*found, *[0] * (len(NAMES) - len(found))])]
    return sums


def _plain(pair: Pair) -> float:
    return sum(map(of_text, pair.texts)) + pair.turns


def _declared(pair: Pair) -> list[Declared]:
    if pair.calls or pair.kind == "response":
        return pair.calls
    found = [declared.of_tools(pair.sent.get("tools"), declared.way(pair.model, pair.provider))]
    for turn in items(pair.sent.get("contents")):
        for part in map(as_object, items(as_object(turn).get("parts"))):
            if is_object(call := field(part, "function_call")):
                found.append(declared.of_call(call))
            if is_object(response := field(part, "function_response")):
                found.append(declared.of_response(response))
    return found


def _schema(pair: Pair) -> list[float]:
    settings: dict[str, Any] = as_object(field(pair.sent, "generation_config"))
    return list(declared.schema_features(settings, pair.model, pair.provider))


def main() -> None:
    """Fit, write, and say what was used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="JSONL of {text or request, model, tokens, …}")
    parser.add_argument("--dry-run", action="store_true", help="print the coefficients and write nothing")
    arguments = parser.parse_args()
    pairs = read(arguments.file)
    weights = fit(pairs)
    for section, values in weights.items():
        print(section, [round(value, 3) for value in values])  # noqa: T201 - the fit is the point
    if not arguments.dry_run:
        write(weights)


if __name__ == "__main__":
    main()
