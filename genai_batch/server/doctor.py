"""Whether this machine is ready: settings, home, connection."""

import platform
import shutil
from importlib.metadata import version

from genai_batch import __version__
from genai_batch.resources.answers import Answer
from genai_batch.resources.errors import ProviderError
from genai_batch.tools.workspace import Workspace


class Examination(Answer):
    """What was found. `ok` is False when Gemini cannot be used as things are."""

    ok: bool
    version: str
    python: str
    sdk: str
    backend: str
    connection: str
    home: str
    free_gb: float
    open_jobs: int
    max_cost_usd: float


async def examine(workspace: Workspace) -> Examination:
    """Look at everything and make one harmless call."""
    trouble = None
    try:
        await workspace.lane.gemini.find("genai-batch doctor")
    except ProviderError as error:
        trouble = str(error)
    offline = (
        "the offline emulator; no model is called"
        if workspace.backend == "emulator"
        else "reached with the key that is set"
    )
    return Examination(
        ok=trouble is None,
        version=__version__,
        python=platform.python_version(),
        sdk=f"google-genai {version('google-genai')}, mcp {version('mcp')}",
        backend=workspace.backend,
        connection=trouble or offline,
        home=str(workspace.home),
        free_gb=round(shutil.disk_usage(workspace.home).free / 1e9, 1),
        open_jobs=len(workspace.ledger.open_jobs()),
        max_cost_usd=workspace.max_cost_usd,
    )
