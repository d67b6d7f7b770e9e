"""What will go wrong with one job: the faults that struck when it was created, fixed from then on."""

import re
from dataclasses import dataclass, field

from .wire import Object, as_list, as_object


@dataclass(frozen=True)
class Plan:
    """Faults of a job, in the order they were armed, and the files its rows name in vain."""

    faults: list[Object] = field(default_factory=list[Object])
    missing_files: list[str] = field(default_factory=list[str])

    def get(self, name: str) -> Object | None:
        """The parameters of a fault that struck this job."""
        return next((fault for fault in self.faults if fault["fault"] == name), None)

    def has(self, name: str) -> bool:
        """Whether a fault struck this job."""
        return self.get(name) is not None

    def rules(self) -> list[Object]:
        """The row rules."""
        return [fault for fault in self.faults if fault["fault"] == "row"]

    def strikes_key(self, name: str, key: str) -> bool:
        """Whether a fault on rows strikes this key."""
        fault = self.get(name)
        return fault is not None and fault.get("key") is not None and bool(re.search(str(fault["key"]), key))


def matches(match: Object, key: str, line: int, prompt: str) -> bool:
    """Whether a rule's `match` means this row: by key, prompt, every n-th, or line numbers; an empty one means all."""
    if "key" in match and not re.search(str(match["key"]), key):
        return False
    if "prompt" in match and not re.search(str(match["prompt"]), prompt):
        return False
    if "every" in match and line % max(1, int(match["every"])):
        return False
    return "lines" not in match or line in as_list(match["lines"])


def prompt_of(request: Object) -> str:
    """All text a request says, for rules and for echoes."""
    contents = [*as_list(request.get("contents")), request.get("content")]
    parts = [as_object(part) for content in contents for part in as_list(as_object(content).get("parts"))]
    return "\n".join(str(part["text"]) for part in parts if "text" in part)
