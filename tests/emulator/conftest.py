"""Fixtures: an emulator in process, its clock standing still."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from genai_batch.server.emulator import create_app

from .bench import Bench


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    app = create_app(tmp_path / "state")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://emulator") as http:
        bench = Bench(tmp_path, app, http)
        await bench.admin("clock", freeze=True)
        yield bench
