"""Vertex batch prediction jobs: the same batches in another dress; a folder stands for the buckets."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from anyio import to_thread
from starlette.responses import Response

from . import clock
from .batches import Batch, cancel_batch, delete_batch, find_batch, list_batches, new_id
from .call import Call
from .creation import Order, create_batch
from .models import find_model
from .progress import SUCCEEDED, Progress
from .results import finished
from .store import Store
from .wire import ApiError, Object, as_list, as_object, page_token, read_page_token, reply, timestamp

STATES = {"PENDING": "QUEUED"}


async def create(call: Call) -> Response:
    """`batches.create` with gs:// in and out."""
    body = await call.json()
    shown = str(body.get("model", ""))
    model = find_model(shown.rpartition("/")[2], "batchGenerateContent", call.version)
    config, target = as_object(body.get("inputConfig")), as_object(body.get("outputConfig"))
    uris = as_list(as_object(config.get("gcsSource")).get("uris"))
    if config.get("instancesFormat") != "jsonl" or not uris:
        raise ApiError(400, "Only gcsSource with instancesFormat jsonl is emulated; BigQuery and datasets are not.")
    if not as_object(target.get("gcsDestination")).get("outputUriPrefix"):
        raise ApiError(400, "outputConfig.gcsDestination.outputUriPrefix is required.")
    source: Object = {"inputConfig": config, "outputConfig": target, "parent": _parent(call)}
    order = Order(call.owner, "vertex", model, shown, str(body.get("displayName", "")), source)
    batch = await to_thread.run_sync(_carry_out, call.store, order, [str(uri) for uri in uris])
    return reply(await to_thread.run_sync(job, call.store, batch, clock.now(call.store)))


def _carry_out(store: Store, order: Order, uris: list[str]) -> Batch:
    draft = store.folder / "inputs" / f"{new_id(24)}.draft"
    try:
        with draft.open("wb") as target:
            for uri in uris:
                path = bucket_path(store, uri)
                if not path.is_file():
                    raise ApiError(404, f"The object {uri} does not exist in the emulated buckets.")
                with path.open("rb") as source:
                    shutil.copyfileobj(source, target)
        return create_batch(store, order, draft)
    finally:
        draft.unlink(missing_ok=True)


async def get_job(call: Call) -> Response:
    """`batches.get`."""
    batch = _find(call)
    return reply(await to_thread.run_sync(job, call.store, batch, clock.poll(call.store)))


async def list_all(call: Call) -> Response:
    """`batches.list`."""
    size = call.page_size(10, 100)
    before, at = read_page_token(call.query("pageToken")), clock.now(call.store)
    batches = list_batches(call.store, call.owner, before, size, vertex=True)
    jobs = [await to_thread.run_sync(job, call.store, batch, at) for batch in batches[:size]]
    body: Object = {"batchPredictionJobs": jobs}
    return reply(body | ({"nextPageToken": page_token(batches[size - 1].seq)} if len(batches) > size else {}))


async def cancel(call: Call) -> Response:
    """`batches.cancel`."""
    cancel_batch(call.store, _find(call), clock.now(call.store))
    return reply({})


async def delete(call: Call) -> Response:
    """`batches.delete`: an operation that is done."""
    batch = _find(call)
    delete_batch(call.store, batch, clock.now(call.store))
    return reply({"name": f"{_parent(call)}/operations/{batch.seq}", "done": True})


def job(store: Store, batch: Batch, at: float) -> Object:
    """A batch as a BatchPredictionJob; its predictions are in the bucket once it has succeeded."""
    line, now = batch.timeline, batch.at(at)
    shown: Object = {
        "name": f"{batch.source['parent']}/batchPredictionJobs/{batch.id}",
        "displayName": batch.display_name,
        "model": batch.model,
        "inputConfig": batch.source["inputConfig"],
        "outputConfig": batch.source["outputConfig"],
        "state": f"JOB_STATE_{STATES.get(now.state, now.state)}",
        "createTime": timestamp(line.created),
        "startTime": timestamp(line.runs_at) if at >= line.runs_at else None,
        "endTime": timestamp(line.ends_at) if now.terminal else None,
        "updateTime": timestamp(now.updated),
        "error": line.error if now.terminal and now.state != SUCCEEDED else None,
        "completionStats": _stats(batch, now),
        "outputInfo": {"gcsOutputDirectory": _publish(store, batch)} if now.state == SUCCEEDED else None,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _stats(batch: Batch, now: Progress) -> Object:
    failed = batch.failed_among(now.rows_done)
    counts = {
        "successfulCount": now.rows_done - failed,
        "failedCount": failed,
        "incompleteCount": batch.requests - now.rows_done,
    }
    return {name: str(count) for name, count in counts.items() if count}


def _publish(store: Store, batch: Batch) -> str:
    prefix = str(batch.source["outputConfig"]["gcsDestination"]["outputUriPrefix"]).rstrip("/")
    ended = datetime.fromtimestamp(batch.timeline.ends_at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    directory = f"{prefix}/prediction-model-{ended}"
    path = bucket_path(store, f"{directory}/predictions.jsonl")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(new_id(12))
        shutil.copyfile(finished(store, batch)[0], draft)
        draft.replace(path)
    return directory


def bucket_path(store: Store, uri: str) -> Path:
    """Where an object of an emulated bucket lies."""
    root = (store.folder / "buckets").resolve()
    path = (root / uri.removeprefix("gs://")).resolve()
    if not uri.startswith("gs://") or root not in path.parents:
        raise ApiError(400, f"{uri} is not the URI of an object.")
    return path


def _find(call: Call) -> Batch:
    batch = find_batch(call.store, call.owner, call.path("id"))
    if batch.kind != "vertex":
        raise ApiError(404, "Requested entity was not found.")
    return batch


def _parent(call: Call) -> str:
    return f"projects/{call.path('project')}/locations/{call.path('location')}"
