"""Webhooks: registered, shown, changed, deleted; nothing is ever delivered."""

import secrets

import msgspec
from starlette.responses import Response

from . import clock
from .batches import new_id
from .call import Call
from .wire import ApiError, Object, page_token, read_page_token, reply, timestamp

CHANGEABLE = ("name", "uri", "subscribed_events", "state")


async def create(call: Call) -> Response:
    """Register one; its signing secret is shown this once."""
    body = await call.json()
    if not body.get("uri") or not body.get("subscribed_events"):
        raise ApiError(400, "A webhook needs uri and subscribed_events.")
    at, secret, webhook_id = timestamp(clock.now(call.store)), _secret(), new_id(16)
    webhook: Object = {
        "id": webhook_id,
        "name": body.get("name", ""),
        "uri": body["uri"],
        "subscribed_events": body["subscribed_events"],
        "state": "enabled",
        "signing_secrets": [{"truncated_secret": secret[:10], "expire_time": None}],
        "create_time": at,
        "update_time": at,
    }
    text = msgspec.json.encode(webhook).decode()
    call.store.rows("INSERT INTO webhooks (id, owner, body) VALUES (?, ?, ?)", webhook_id, call.owner, text)
    return reply(webhook | {"new_signing_secret": secret})


async def get(call: Call) -> Response:
    """Show one."""
    return reply(_find(call))


async def list_all(call: Call) -> Response:
    """Show the owner's."""
    size = call.page_size(50, 1000)
    after = read_page_token(call.query("pageToken", "page_token")) or 0
    sql = "SELECT seq, body FROM webhooks WHERE owner = ? AND seq > ? ORDER BY seq LIMIT ?"
    rows = call.store.rows(sql, call.owner, after, size + 1)
    token = page_token(rows[size - 1]["seq"]) if len(rows) > size else ""
    return reply({"webhooks": [msgspec.json.decode(row["body"]) for row in rows[:size]], "next_page_token": token})


async def update(call: Call) -> Response:
    """Change the fields of the mask, or all that are given."""
    webhook, body = _find(call), await call.json()
    mask = [name for name in call.query("update_mask", "updateMask").split(",") if name] or list(CHANGEABLE)
    changes = {name: body[name] for name in mask if name in CHANGEABLE and name in body}
    return reply(_keep(call, webhook | changes))


async def delete(call: Call) -> Response:
    """Forget one."""
    call.store.rows("DELETE FROM webhooks WHERE id = ?", _find(call)["id"])
    return reply({})


async def ping(call: Call) -> Response:
    """Would deliver a test event; the emulator reaches no network."""
    _find(call)
    return reply({})


async def rotate(call: Call) -> Response:
    """A new signing secret."""
    webhook, secret = _find(call), _secret()
    _keep(call, webhook | {"signing_secrets": [{"truncated_secret": secret[:10], "expire_time": None}]})
    return reply({"secret": secret})


def _find(call: Call) -> Object:
    row = call.store.row("SELECT body FROM webhooks WHERE id = ? AND owner = ?", call.path("id"), call.owner)
    if row is None:
        raise ApiError(404, "Requested entity was not found.")
    found: Object = msgspec.json.decode(row["body"])
    return found


def _keep(call: Call, webhook: Object) -> Object:
    changed = webhook | {"update_time": timestamp(clock.now(call.store))}
    call.store.rows("UPDATE webhooks SET body = ? WHERE id = ?", msgspec.json.encode(changed).decode(), webhook["id"])
    return changed


def _secret() -> str:
    return "whsec_" + secrets.token_urlsafe(32)
