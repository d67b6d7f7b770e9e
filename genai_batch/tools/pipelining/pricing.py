"""What the stages of a pipeline would cost that begin at once; of the others nothing is known before their input is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genai_batch.resources.answers import Problem, Range
from genai_batch.resources.estimates import Estimate
from genai_batch.resources.prices import Fallback, Lane
from genai_batch.resources.triples import Triple
from genai_batch.tools.approval import priced
from genai_batch.tools.pipelining.making import checked
from genai_batch.tools.workspace import Workspace

if TYPE_CHECKING:  # yaml, jinja2 and pathspec are for those who have a manifest
    from genai_batch.resources.sources.staged import Staged


async def estimated(workspace: Workspace, staged: "Staged", lane: Lane, fallback: Fallback | None) -> Estimate:
    """Check every stage and price those that read from no other.

    Raises:
        InvalidRequests: with everything that is wrong, by stage.
    """
    async with checked(workspace, staged, staged.name) as begun:
        found = [priced(workspace, each.found, lane, fallback) for each in begun.values()]
    later = [part.name for part in staged.parts if part.reads is not None]
    whole = _together(found)
    if later:
        said = f"{', '.join(later)} cannot be priced yet: {'its' if len(later) == 1 else 'their'} input is not there"
        fix = "max_cost_usd holds for all stages; a stage that would pass it waits for approval"
        whole.warnings.insert(0, Problem(problem=said, fix=fix))
    return whole.model_copy(update={"next": "create_batch with the same source runs all stages; nothing was sent yet."})


def _together(found: Sequence[Estimate]) -> Estimate:
    """Several estimates as one; what differs by model is that of the first."""
    first, all_ = found[0], range(len(found))
    thinking = [each.thinking_tokens for each in found if each.thinking_tokens]
    other = first.other_lane.model_copy(
        update={
            name: round(sum(getattr(each.other_lane, name) for each in found), 6)
            for name in ("cost_usd", "low", "high")
        }
    )
    told = {
        "requests": sum(each.requests for each in found), "shards": sum(each.shards for each in found),
        "warnings": [warning for number in all_ for warning in found[number].warnings],
        "input_tokens": _sum([each.input_tokens for each in found]), "other_lane": other,
        "output_tokens": _sum([each.output_tokens for each in found]),
        "thinking_tokens": _sum(thinking) if thinking else None,
        "cost_usd": _sum([each.cost_usd for each in found]),
        "upload_bytes": sum(each.upload_bytes or 0 for each in found) or None,
        "tools": [tool for each in found for tool in each.tools or []] or None,
        "to_lower": first.to_lower if len(found) == 1 else None,
    }  # fmt: skip
    most = sum(each.most for each in found)
    uncorrected = Triple(0, sum(each.uncorrected for each in found), most)
    return first.model_copy(update=told).noting(uncorrected, can_stop=first.can_stop)


def _sum(ranges: Sequence[Range]) -> Range:
    low, likely, high = (round(sum(getattr(each, name) for each in ranges), 6) for name in ("low", "likely", "high"))
    ends = [each.likely_high for each in ranges if each.likely_high is not None]
    return Range(low=low, likely=likely, likely_high=round(sum(ends), 6) if ends else None, high=high)
