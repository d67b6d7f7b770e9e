"""An offline look-alike of the Gemini API: files, batches, models. It imports nothing of its client."""

from .app import create_app
from .dropped import ConnectionDropped
from .listening import serve

__all__ = ["ConnectionDropped", "create_app", "serve"]
