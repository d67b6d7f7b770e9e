"""How many tokens a request will cost, counted offline and sent nowhere.

Text is counted by words and runs, media by the rules of the model's generation, declarations by what was seen. The
coefficients, their date and their source stand in `tokens.toml`; `python -m tests.benchmarks.fit_tokens` writes it.
"""

from genai_batch.resources.tokens.counting import KINDS, by_kind, of_request
from genai_batch.resources.tokens.declared import Provider
from genai_batch.resources.tokens.text import Share, of_bytes, of_text, share

__all__ = ["KINDS", "Provider", "Share", "by_kind", "of_bytes", "of_request", "of_text", "share"]
