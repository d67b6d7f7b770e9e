"""The calls on batches."""

from pathlib import Path

import msgspec
from anyio import to_thread
from starlette.responses import Response

from . import clock
from .batches import cancel_batch, delete_batch, find_batch, list_batches, new_id
from .call import Call
from .creation import Order, create_batch
from .messages import read_request
from .models import find_model
from .operations import operation
from .rows import MESSAGE_OF_KIND
from .settings import read_settings
from .store import Store
from .stored_files import find_file
from .wire import ApiError, Object, as_list, as_object, either, page_token, read_page_token, reply

METHOD_OF_KIND = {"generate": "batchGenerateContent", "embed": "asyncBatchEmbedContent"}


async def create_generation(call: Call) -> Response:
    """`batches.create`."""
    return await _create(call, "generate")


async def create_embedding(call: Call) -> Response:
    """`batches.create_embeddings`."""
    return await _create(call, "embed")


async def _create(call: Call, kind: str) -> Response:
    model = find_model(call.path("model"), METHOD_OF_KIND[kind], call.version)
    limit = read_settings(call.store).max_inline_bytes
    body = await call.request.body()
    if len(body) > limit:
        raise ApiError(400, f"Request payload size exceeds the limit: {limit} bytes.")
    batch = as_object((await call.json()).get("batch"))
    source = as_object(either(batch, "inputConfig", "input_config"))
    priority = batch.get("priority")
    order = Order(
        call.owner, kind, model, call.path("model"), str(either(batch, "displayName", "display_name", "")),
        _source(source), str(priority) if priority is not None else None,
    )  # fmt: skip
    return reply(await to_thread.run_sync(_carry_out, call.store, order, source))


def _source(source: Object) -> Object:
    file_name = either(source, "fileName", "file_name")
    requests = as_list(as_object(source.get("requests")).get("requests"))
    if file_name and requests:
        raise ApiError(400, "The batch names both a file and inline requests.")
    if not file_name and not requests:
        raise ApiError(400, "The batch has no requests.")
    return {"fileName": file_name} if file_name else {"requests": len(requests)}


def _carry_out(store: Store, order: Order, source: Object) -> Object:
    if "fileName" in order.source:
        path = find_file(store, order.owner, str(order.source["fileName"]).removeprefix("files/")).path
        return operation(store, create_batch(store, order, path))
    draft = store.folder / "inputs" / f"{new_id(24)}.draft"
    try:
        _write_inline(draft, order.kind, as_list(as_object(source["requests"])["requests"]))
        return operation(store, create_batch(store, order, draft))
    finally:
        draft.unlink(missing_ok=True)


def _write_inline(draft: Path, kind: str, requests: list[object]) -> None:
    with draft.open("wb") as lines:
        for index, request in enumerate(requests):
            item = as_object(request)
            where = f"batch.input_config.requests.requests[{index}].request"
            message = read_request(MESSAGE_OF_KIND[kind], item.get("request", {}), where)
            kept = {"metadata": item["metadata"]} if "metadata" in item else {}
            lines.write(msgspec.json.encode(kept | {"request": message}) + b"\n")


async def get_batch(call: Call) -> Response:
    """`batches.get`: a look, which may move the clock."""
    batch = find_batch(call.store, call.owner, call.path("id"))
    return reply(await to_thread.run_sync(lambda: operation(call.store, batch, polled=True)))


async def list_all(call: Call) -> Response:
    """`batches.list`: newest first."""
    size = call.page_size(50, 1000)
    token = call.query("pageToken", "page_token")
    batches = list_batches(call.store, call.owner, read_page_token(token), size, vertex=False)
    body: Object = {"operations": [operation(call.store, batch) for batch in batches[:size]]} if batches else {}
    if len(batches) > size:
        body["nextPageToken"] = page_token(batches[size - 1].seq)
    return reply(body)


async def cancel(call: Call) -> Response:
    """`batches.cancel`: no effect on a batch that has ended."""
    cancel_batch(call.store, find_batch(call.store, call.owner, call.path("id")), clock.now(call.store))
    return reply({})


async def delete(call: Call) -> Response:
    """`batches.delete`."""
    delete_batch(call.store, find_batch(call.store, call.owner, call.path("id")), clock.now(call.store))
    return reply({})
