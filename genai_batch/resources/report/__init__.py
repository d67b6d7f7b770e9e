"""A job summed up: as short Markdown for agents, as one HTML file for people. Both read a bounded part of its rows."""

from genai_batch.resources.report.history import History
from genai_batch.resources.report.markdown import markdown
from genai_batch.resources.report.page import write

__all__ = ["History", "markdown", "write"]
