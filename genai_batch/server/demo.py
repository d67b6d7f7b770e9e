"""A real MCP client drives a real server process through a whole job, offline, and prints what both say."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp_types import TextResourceContents

from genai_batch.resources.untyped import is_object

MODEL = "gemini-3.8-flash"
TOPICS = (
    "photosynthesis",
    "gravity",
    "plate tectonics",
    "black holes",
    "vaccination",
    "entropy",
    "coral reefs",
    "tides",
)
_TABLE = """sku,name,features
m1,Mug,"blue,
holds half a litre"
c1,Cup,small
"""
_MANIFEST = f"""model: {MODEL}
data: products.csv
key: sku
prompt: "Praise {{{{ name }}}}: {{{{ features }}}}."
output: "{{{{ name | lower }}}}.md"
lane: auto
"""
_WIDTH = 300


async def play() -> None:
    """Play the transcript in a temporary folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="genai-batch-demo-") as folder:
        async with Client(_prepare(Path(folder))) as client:
            await _script(client)


def _prepare(folder: Path) -> StdioServerParameters:
    work = folder.resolve()
    write_sources(work)
    env = {
        "GENAI_BATCH_BACKEND": "emulator",
        "GENAI_BATCH_HOME": str(work / "home"),
        "GENAI_BATCH_ROOTS": str(work),
    }
    return StdioServerParameters(command=sys.executable, args=["-m", "genai_batch", "serve"], env=env, cwd=work)


def write_sources(work: Path) -> None:
    """Write a file with mistakes, one without, of which one answer will be cut by its own setting, and a manifest."""
    good = [
        _line(f"topic-{number}", f"Explain {topic} to a ten-year-old.", topic=topic)
        for number, topic in enumerate(TOPICS, 1)
    ]
    short = {
        "contents": [{"role": "user", "parts": [{"text": "Tell everything about the sea."}]}],
        "generation_config": {"max_output_tokens": 8},
    }
    good.append(json.dumps({"key": "too-short", "request": short}))
    bad = [
        good[0],
        '{"custom_id": "a", "request": {}}',
        good[0],
        good[1][:40],
        _line("b", "Hello", temperature=0.5),
    ]
    (work / "topics.jsonl").write_text("\n".join(good) + "\n")
    (work / "mistakes.jsonl").write_text("\n".join(bad) + "\n")
    (work / "products.csv").write_text(_TABLE)
    (work / "products.yaml").write_text(_MANIFEST)


async def _script(client: Client) -> None:
    await _greet(client)
    await _one_job(client)
    await _a_table(client)
    _say(
        "\nEverything above was answered by the offline emulator. "
        "With GEMINI_API_KEY set, the same calls use Gemini, in batches at half price."
    )


async def _greet(client: Client) -> None:
    _say(
        "A real MCP client has started a real server over stdio. "
        "No API key: the offline emulator answers, no model is called."
    )
    tools = (await client.list_tools()).tools
    about = client.server_info
    named = f"{about.name} {about.version}, protocol {client.protocol_version}" if about else "unnamed"
    _say(f"The server ({named}) offers: {', '.join(tool.name for tool in tools)}")


async def _one_job(client: Client) -> None:
    _head("1. A file with mistakes: every bad line is named, nothing is sent")
    _show_problems(await _call(client, "estimate_cost", source="mistakes.jsonl", model=MODEL))
    _head("2. A good file: the price, before anything is spent")
    _show(
        await _call(client, "estimate_cost", source="topics.jsonl", model=MODEL),
        "requests",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "price",
        "backend",
    )
    _head("3. Start the job; it returns at once")
    job = await _call(client, "create_batch", source="topics.jsonl", model=MODEL, name="topics")
    _show(job, "job_id", "state", "counts", "notice", "next")
    _head("4. Follow it")
    status = await _follow(client, job["job_id"])
    _show(status, "state", "percent", "counts", "cost_usd")
    _head("5. The results by outcome: a finished job can hold rows that are not ok")
    for line in (await _call(client, "get_results", job_id=job["job_id"], limit=3))["results"]:
        _show(line, "key", "outcome", "text")
    for line in (await _call(client, "get_results", job_id=job["job_id"], outcome="truncated"))["results"]:
        _show(line, "key", "outcome", "error", "uri")
    _head("6. One answer, read as a resource by its key")
    await _read(client, f"batch://jobs/{job['job_id']}/results/topic-2")
    _head("7. Everything, as a file, joined with the fields that stood beside each request")
    _show(
        await _call(client, "get_results", job_id=job["job_id"], output_path="answers.csv", format="csv"),
        "output_path",
        "written",
    )
    _head("8. The same file asked for again is the same job: nothing is paid twice")
    _show(await _call(client, "create_batch", source="topics.jsonl", model=MODEL), "job_id", "existing", "state")


async def _a_table(client: Client) -> None:
    _head("9. A table and one prompt for all its rows; few rows run live, with the reason and both prices")
    _say(_indented(_MANIFEST))
    job = await _call(client, "create_batch", source="products.yaml")
    _show(job, "job_id", "lane", "notice")
    _show(await _follow(client, job["job_id"]), "state", "counts", "cost_usd")
    _head("10. Each answer as a file of its own, where the manifest says")
    done = await _call(client, "get_results", job_id=job["job_id"], output_path="praise/")
    _show(done, "output_path", "written", "next")


async def _follow(client: Client, job_id: str) -> dict[str, Any]:
    said: list[str | None] = []

    async def progress(waited: float, _total: float | None, message: str | None) -> None:
        if message not in said:
            _say(f"   … {waited:3.1f} s  {message}")
        said.append(message)

    while True:
        status = await _call(client, "check_status", progress=progress, job_id=job_id, wait_s=50)
        if status["state"] not in ("JOB_STATE_QUEUED", "JOB_STATE_PENDING", "JOB_STATE_RUNNING"):
            return status


async def _call(client: Client, tool: str, progress: Any = None, **arguments: Any) -> dict[str, Any]:
    _say(f"-> {tool}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})")
    reply = await client.call_tool(tool, arguments, progress_callback=progress)
    if reply.is_error or not is_object(reply.structured_content):
        raise RuntimeError(f"{tool} failed: {reply.content}")
    return reply.structured_content


async def _read(client: Client, uri: str) -> None:
    _say(f"-> resources/read {uri}")
    for content in (await client.read_resource(uri)).contents:
        if isinstance(content, TextResourceContents):
            _show(json.loads(content.text), "key", "outcome", "text", "usage", "cost_usd", "model_version", "notice")


def _show_problems(answer: dict[str, Any]) -> None:
    _say(f"<- {answer['problem_count']} problems")
    for problem in answer["problems"]:
        _say(f"     line {problem['line']}: {problem['problem']}. {problem.get('fix', '')}")


def _show(answer: dict[str, Any], *names: str) -> None:
    parts = (f"{name}: {json.dumps(answer[name], ensure_ascii=False)}" for name in names if name in answer)
    _say("<- " + "\n   ".join(part if len(part) <= _WIDTH else part[: _WIDTH - 1] + "…" for part in parts))


def _indented(text: str) -> str:
    return "".join(f"   {line}" for line in text.splitlines(keepends=True)).rstrip()


def _head(text: str) -> None:
    _say(f"\n== {text}")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the transcript is the point


def _line(key: str, prompt: str, topic: str | None = None, **misplaced: Any) -> str:
    request = {"contents": [{"role": "user", "parts": [{"text": prompt}]}], **misplaced}
    return json.dumps({"key": key, "request": request, **({"topic": topic} if topic else {})})
