"""How far the offline count is from what Gemini counted, by language and kind.

python -m tests.benchmarks.tokens_error FILE [--cross-validate]

FILE holds one `{text or request, model, tokens}` a line, and may name `language`, `kind`, `provider` and media sizes.
The exit code is 1 when a class of ten or more pairs is off by more than 15 % in total.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import quantiles

from tests.benchmarks.fit_tokens import fit, predict
from tests.benchmarks.token_pairs import Pair, read

ENOUGH, LIMIT, FOLDS = 10, 0.15, 5


@dataclass(frozen=True)
class Error:
    """How far one class of pairs is off."""

    name: str
    pairs: int
    total: float
    median: float
    p95: float

    @property
    def verdict(self) -> str:
        if self.pairs < ENOUGH:
            return "too few"
        return "ok" if abs(self.total) <= LIMIT else "MISSED"

    def row(self) -> str:
        figures = f"{self.total:>+9.1%}{self.median:>9.1%}{self.p95:>9.1%}"
        return f"{self.name:<28}{self.pairs:>6}{figures}  {self.verdict}"


def errors(pairs: Sequence[Pair], estimates: Sequence[float]) -> list[Error]:
    """The error of each kind and language, and of both together."""
    groups: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for pair, estimate in zip(pairs, estimates, strict=True):
        for name in (f"{pair.kind} {pair.language}", f"all {pair.kind}", f"all in {pair.language}", "all"):
            groups[name].append((estimate, pair.tokens))
    return [_error(name, group) for name, group in sorted(groups.items())]


def cross_validated(pairs: Sequence[Pair]) -> list[float]:
    """Estimate each pair with coefficients fitted without it or any pair that says or declares the same."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, pair in enumerate(pairs):
        groups[_same(pair)].append(index)
    names = sorted(groups)
    Random(1).shuffle(names)
    found = [0.0] * len(pairs)
    for fold in range(FOLDS):
        held = {index for name in names[fold::FOLDS] for index in groups[name]}
        weights = fit([pair for index, pair in enumerate(pairs) if index not in held])
        for index in held:
            found[index] = predict(weights, pairs[index]) or 0
    return found


def report(pairs: Sequence[Pair], *, validate: bool = False) -> tuple[str, bool]:
    """The table, and whether every class with enough pairs is within the limit."""
    known = [pair for pair in pairs if pair.estimate() is not None]
    estimates = cross_validated(known) if validate else [pair.estimate() or 0 for pair in known]
    found = errors(known, estimates)
    lines = [f"{'kind, language':<28}{'pairs':>6}{'total':>9}{'p50':>9}{'p95':>9}", *(error.row() for error in found)]
    if left := len(pairs) - len(known):
        lines.append(f"{left} pairs left out: media whose pixels, seconds or pages the pair does not tell")
    return "\n".join(lines), all(error.verdict != "MISSED" for error in found)


def _error(name: str, group: Sequence[tuple[float, float]]) -> Error:
    total = sum(estimate for estimate, _ in group) / sum(tokens for _, tokens in group) - 1
    off = sorted(abs(estimate / tokens - 1) for estimate, tokens in group)
    cuts = quantiles(off, n=20, method="inclusive") if len(off) > 1 else off * 19
    return Error(name, len(group), total, cuts[9], cuts[18])


def _same(pair: Pair) -> str:
    return json.dumps(pair.sent.get("tools"), sort_keys=True) if pair.kind == "tools" else pair.text


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="JSONL of {text or request, model, tokens, …}")
    parser.add_argument("--cross-validate", action="store_true", help="fit without each fifth of the pairs in turn")
    arguments = parser.parse_args()
    table, held = report(read(arguments.file), validate=arguments.cross_validate)
    print(table)  # noqa: T201 - the table is the point
    sys.exit(not held)


if __name__ == "__main__":
    main()
