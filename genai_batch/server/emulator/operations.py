"""A batch as the long-running operation the API shows."""

import msgspec

from . import clock
from .batches import Batch, count_poll
from .progress import RUNNING, SUCCEEDED, Progress
from .results import finished
from .store import Store
from .wire import Object, timestamp

TYPE = "type.googleapis.com/google.ai.generativelanguage.v1main."


def operation(store: Store, batch: Batch, *, polled: bool = False) -> Object:
    """The operation at this moment; only a poll carries inline results, since a list would be too long."""
    progress = batch.at(clock.poll(store) if polled else clock.now(store))
    output = _output(store, batch, whole=polled) if progress.state == SUCCEEDED else None
    metadata = _metadata(batch, progress)
    body: Object = {"name": batch.name, "metadata": metadata}
    if not progress.terminal:
        return body
    body["done"] = True
    if progress.state != SUCCEEDED:
        return body | {"error": batch.timeline.error}
    kind = "EmbedContentBatchOutput" if batch.kind == "embed" else "GenerateContentBatchOutput"
    if output is not None and not batch.plan.has("output_only_in_response"):
        metadata["output"] = output
    if output is not None and not batch.plan.has("output_only_in_metadata"):
        body["response"] = {"@type": TYPE + kind} | output
    return body


def _metadata(batch: Batch, progress: Progress) -> Object:
    kind = "EmbedContentBatch" if batch.kind == "embed" else "GenerateContentBatch"
    state = f"BATCH_STATE_{progress.state}"
    unknown = batch.plan.get("unknown_state")
    if unknown and progress.state == RUNNING:
        state = str(unknown["state"])
    shown: Object = {
        "@type": TYPE + kind,
        "model": batch.model if "/" in batch.model else f"models/{batch.model}",
        "displayName": batch.display_name,
        "inputConfig": batch.source if not batch.inline else None,
        "createTime": timestamp(batch.timeline.created),
        "endTime": timestamp(batch.timeline.ends_at) if progress.terminal else None,
        "updateTime": timestamp(progress.updated),
        "batchStats": batch_stats(batch, progress),
        "state": state,
        "priority": batch.priority,
        "name": batch.name,
    }
    return {name: value for name, value in shown.items() if value}


def batch_stats(batch: Batch, progress: Progress) -> Object:
    """Counts as protobuf writes int64: strings, zeros left out."""
    failed = batch.failed_among(progress.rows_done)
    counts = {
        "requestCount": batch.requests,
        "successfulRequestCount": progress.rows_done - failed,
        "failedRequestCount": failed,
        "pendingRequestCount": 0 if progress.terminal else batch.requests - progress.rows_done,
    }
    return {name: str(count) for name, count in counts.items() if count}


def _output(store: Store, batch: Batch, *, whole: bool) -> Object | None:
    late = batch.plan.get("no_output")
    if late and (not whole or count_poll(store, batch) <= int(late["polls"])):
        return None
    if not batch.inline and not batch.plan.has("inline_results"):
        return {"responsesFile": f"files/batch-{batch.id}"}
    if not whole:
        return None
    path, _ = finished(store, batch)
    with path.open("rb") as lines:
        items = [_inline_item(line) for line in lines]
    wrapper = "inlinedEmbedContentResponses" if batch.kind == "embed" else "inlinedResponses"
    return {wrapper: {"inlinedResponses": items} if items else {}}


def _inline_item(line: bytes) -> Object:
    """A result line as an inline item: the key of a file row travels as metadata; a line cut off says nothing."""
    try:
        item: Object = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return {}
    return {"metadata": {"key": item.pop("key")}} | item if "key" in item else item
