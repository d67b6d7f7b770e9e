"""Parameters of a tool that no caller gives: whoever offers the tool fills them, and knows with what by these marks.

The command line gives them itself. So no tool knows how it is offered, and a command loads nothing of MCP.
"""

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, NamedTuple


class Filled(Enum):
    """Marks a parameter by what it is filled with."""

    WORKSPACE = "the workspace of the process"
    PROGRESS = "a way to tell the caller how far the call is, where it wants to know"
    NOTHING = "what it is without: it is for the command line"


class Asked(NamedTuple):
    """Marks a parameter that is filled with the user's word on a cost.

    `quote` says what to ask. It takes parameters of the tool by their names, and returns None where nothing is to be.
    """

    quote: Callable[..., Awaitable[Any]]


Tell = Callable[[float, float, str], Awaitable[None]]
"""Tells how far a call is: so much, of so much, in words."""
