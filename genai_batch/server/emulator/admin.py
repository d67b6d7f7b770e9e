"""The operator's calls, under /emulator: what this is, its clock, settings, faults, bills and log."""

from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
from anyio import to_thread
from starlette.responses import Response

from . import clock
from .batches import batch_of, retime
from .billing import bills, charges
from .call import Call
from .catalogue import CALLS, CATALOGUE
from .clock import change_clock, describe_clock, read_clock
from .faults import arm, armed, disarm
from .plan import Plan
from .progress import plan_timeline
from .scenario import apply_scenario
from .settings import change_settings, read_settings
from .store import Store
from .vertex import bucket_path
from .wire import ApiError, Object, as_object, reply


async def show(call: Call) -> Response:
    """What this is."""
    return reply(
        {
            "emulator": "An offline look-alike of the Gemini API. No model is called and nothing is billed.",
            "version": _version(),
            "state": str(call.store.folder),
            "settings": msgspec.to_builtins(read_settings(call.store)),
            "clock": describe_clock(read_clock(call.store)),
            "faults_armed": len(armed(call.store)),
        }
    )


def _version() -> str:
    try:
        return version("genai-batch-mcp")
    except PackageNotFoundError:
        return "source"


async def show_clock(call: Call) -> Response:
    """The virtual time."""
    return reply(describe_clock(read_clock(call.store)))


async def set_clock(call: Call) -> Response:
    """Move, freeze or tie the virtual time."""
    return reply(describe_clock(change_clock(call.store, await call.json())))


async def show_settings(call: Call) -> Response:
    """All settings."""
    return reply(msgspec.to_builtins(read_settings(call.store)))


async def set_settings(call: Call) -> Response:
    """Change some."""
    return reply(msgspec.to_builtins(change_settings(call.store, await call.json())))


async def show_faults(call: Call) -> Response:
    """Every fault there is, and those that are armed."""
    return reply(
        {"catalogue": [asdict(fault) for fault in CATALOGUE.values()], "calls": CALLS, "armed": armed(call.store)}
    )


async def arm_fault(call: Call) -> Response:
    """Arm a fault; one that names an existing batch or file strikes it at once."""
    body = await call.json()
    if body.get("fault") == "expire_file" and body.get("name"):
        name = str(body["name"]).removeprefix("files/")
        call.store.rows("UPDATE files SET expires = ? WHERE id = ?", clock.now(call.store), name)
        return reply({"fault": "expire_file", "struck": f"files/{name}"})
    if body.get("batch"):
        return reply(_strike_batch(call.store, str(body["batch"]).removeprefix("batches/"), body))
    return reply(arm(call.store, body))


def _strike_batch(store: Store, batch_id: str, body: Object) -> Object:
    fault = CATALOGUE.get(str(body.get("fault")))
    row = store.row("SELECT * FROM batches WHERE id = ?", batch_id)
    if row is None or fault is None or fault.stage != "job" or fault.name == "row":
        raise ApiError(400, "Only faults of the stage 'job' strike an existing batch, and not 'row'.")
    batch = batch_of(row)
    plan = Plan([*batch.plan.faults, fault.params | body], batch.plan.missing_files)
    with store.transaction():
        text = msgspec.json.encode(plan).decode()
        store.rows("UPDATE batches SET plan = ?, used = NULL WHERE id = ?", text, batch.id)
        retime(store, batch.id, plan_timeline(batch.timeline.created, batch.requests, plan, read_settings(store)))
    return {"fault": fault.name, "struck": batch.name}


async def disarm_faults(call: Call) -> Response:
    """Disarm all faults."""
    disarm(call.store)
    return reply({})


async def show_billing(call: Call) -> Response:
    """What each client would have been billed for."""
    return reply(await to_thread.run_sync(bills, call.store))


async def show_charges(call: Call) -> Response:
    """What live calls were charged for."""
    return reply({"charges": await to_thread.run_sync(charges, call.store)})


async def show_log(call: Call) -> Response:
    """The most recent calls, oldest first."""
    rows = call.store.rows("SELECT at, owner, kind, method, path, status FROM log ORDER BY id")
    return reply({"calls": [dict(row) for row in rows]})


async def reset(call: Call) -> Response:
    """Forget everything; a scenario that was in force is put in force anew."""
    scenario = as_object(call.store.document("scenario").get("body"))
    call.store.clear()
    if scenario:
        apply_scenario(call.store, scenario)
    return reply({})


async def put_object(call: Call) -> Response:
    """Store an object of an emulated bucket: the path is `bucket/object`."""
    path = bucket_path(call.store, "gs://" + call.path("object"))
    await to_thread.run_sync(_store_object, path, await call.request.body())
    return reply({})


def _store_object(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


async def get_object(call: Call) -> Response:
    """Read an object of an emulated bucket."""
    path = bucket_path(call.store, "gs://" + call.path("object"))
    if not path.is_file():
        raise ApiError(404, "The object does not exist.")
    return Response(await to_thread.run_sync(path.read_bytes), media_type="application/octet-stream")
