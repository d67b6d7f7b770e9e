"""The emulator as an ASGI app: every route on one screen."""

from pathlib import Path

from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from . import admin, batch_calls, files, live, uploads, vertex, webhooks
from .call import Handler
from .dropped import ConnectionDropped, hang_up
from .gate import gated
from .scenario import apply_scenario, load_scenario
from .store import Store
from .wire import ApiError, Object


class VersionConvertor(Convertor[str]):
    """The three API versions."""

    regex = "v1(?:beta1|beta|alpha)?"

    def convert(self, value: str) -> str:
        """The version as written."""
        return value

    def to_string(self, value: str) -> str:
        """The version as written."""
        return value


register_url_convertor("version", VersionConvertor())
V = "/{version:version}"
VERTEX = V + "/projects/{project}/locations/{location}"
JOBS = VERTEX + "/batchPredictionJobs"

ROUTES: tuple[tuple[str, str, str, Handler], ...] = (
    ("upload_start", "POST", "/upload" + V + "/files", uploads.start_upload),
    ("upload_chunk", "POST", "/upload" + V + "/sessions/{id}", uploads.upload_chunk),
    ("upload_chunk", "PUT", "/upload" + V + "/sessions/{id}", uploads.upload_chunk),
    ("download", "GET", V + "/files/{id}:download", files.download),
    ("download", "GET", "/download" + V + "/files/{id}:download", files.download),
    ("file_get", "GET", V + "/files/{id}", files.get_file),
    ("file_list", "GET", V + "/files", files.list_all),
    ("file_delete", "DELETE", V + "/files/{id}", files.delete_file),
    ("create", "POST", V + "/models/{model}:batchGenerateContent", batch_calls.create_generation),
    ("create", "POST", V + "/{model:path}:batchGenerateContent", batch_calls.create_generation),
    ("create", "POST", V + "/models/{model}:asyncBatchEmbedContent", batch_calls.create_embedding),
    ("cancel", "POST", V + "/batches/{id}:cancel", batch_calls.cancel),
    ("get", "GET", V + "/batches/{id}", batch_calls.get_batch),
    ("list", "GET", V + "/batches", batch_calls.list_all),
    ("delete_batch", "DELETE", V + "/batches/{id}", batch_calls.delete),
    ("generate", "POST", V + "/models/{model}:generateContent", live.generate),
    ("count_tokens", "POST", V + "/models/{model}:countTokens", live.count_tokens),
    ("embed", "POST", V + "/models/{model}:embedContent", live.embed),
    ("embed", "POST", V + "/models/{model}:batchEmbedContents", live.embed_many),
    ("models", "GET", V + "/models/{model}", live.get_model),
    ("models", "GET", V + "/models", live.list_models),
    ("webhooks", "POST", V + "/webhooks", webhooks.create),
    ("webhooks", "GET", V + "/webhooks", webhooks.list_all),
    ("webhooks", "POST", V + "/webhooks/{id}:ping", webhooks.ping),
    ("webhooks", "POST", V + "/webhooks/{id}:rotateSigningSecret", webhooks.rotate),
    ("webhooks", "GET", V + "/webhooks/{id}", webhooks.get),
    ("webhooks", "PATCH", V + "/webhooks/{id}", webhooks.update),
    ("webhooks", "DELETE", V + "/webhooks/{id}", webhooks.delete),
    ("create", "POST", JOBS, vertex.create),
    ("list", "GET", JOBS, vertex.list_all),
    ("cancel", "POST", JOBS + "/{id}:cancel", vertex.cancel),
    ("get", "GET", JOBS + "/{id}", vertex.get_job),
    ("delete_batch", "DELETE", JOBS + "/{id}", vertex.delete),
    ("generate", "POST", VERTEX + "/publishers/google/models/{model}:generateContent", live.generate),
    ("count_tokens", "POST", VERTEX + "/publishers/google/models/{model}:countTokens", live.count_tokens),
    ("admin", "GET", "/emulator", admin.show),
    ("admin", "GET", "/emulator/clock", admin.show_clock),
    ("admin", "POST", "/emulator/clock", admin.set_clock),
    ("admin", "GET", "/emulator/settings", admin.show_settings),
    ("admin", "POST", "/emulator/settings", admin.set_settings),
    ("admin", "GET", "/emulator/faults", admin.show_faults),
    ("admin", "POST", "/emulator/faults", admin.arm_fault),
    ("admin", "DELETE", "/emulator/faults", admin.disarm_faults),
    ("admin", "GET", "/emulator/billing", admin.show_billing),
    ("admin", "GET", "/emulator/charges", admin.show_charges),
    ("admin", "GET", "/emulator/log", admin.show_log),
    ("admin", "POST", "/emulator/reset", admin.reset),
    ("admin", "PUT", "/emulator/buckets/{object:path}", admin.put_object),
    ("admin", "GET", "/emulator/buckets/{object:path}", admin.get_object),
)


class Emulator:
    """The app; it needs no lifespan, and lets broken connections through as `ConnectionDropped`."""

    def __init__(self, store: Store):
        routes = [Route(path, gated(store, kind, handler), methods=[method]) for kind, method, path, handler in ROUTES]
        self.router = Router(routes, redirect_slashes=False, default=_unknown_path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            try:
                await self.router(scope, receive, send)
            except ConnectionDropped as drop:
                await hang_up(drop, receive, send)


def create_app(state: Path, scenario: Object | Path | None = None) -> ASGIApp:
    """The emulator on a state folder, which any number of processes may share."""
    store = Store(state)
    if scenario is not None:
        apply_scenario(store, load_scenario(scenario))
    return Emulator(store)


async def _unknown_path(scope: Scope, receive: Receive, send: Send) -> None:
    await ApiError(404, f"The emulator has nothing at {scope['path']}.").response()(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"].removeprefix("lifespan.")
        await send({"type": f"lifespan.{event}.complete"})
        if event == "shutdown":
            return
