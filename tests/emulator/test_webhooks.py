"""Webhooks are kept, never delivered."""

import pytest

from .bench import Bench

pytestmark = pytest.mark.anyio


async def test_a_webhook_lives_through_all_its_calls(bench: Bench) -> None:
    webhooks = bench.sdk().aio.webhooks
    made = await webhooks.create(subscribed_events=["batch.succeeded"], uri="https://h/x", name="n")
    assert str(made.new_signing_secret).startswith("whsec_")
    webhook = str(made.id)
    assert (await webhooks.get(webhook)).uri == "https://h/x"
    listed = await webhooks.list(page_size=5)
    assert [one.id for one in listed.webhooks] == [webhook]
    await webhooks.update(webhook, uri="https://h/y", update_mask="uri")
    assert (await webhooks.get(webhook)).uri == "https://h/y"
    await webhooks.ping(webhook)
    rotated = await webhooks.rotate_signing_secret(webhook, revocation_behavior="revoke_previous_secrets_immediately")
    assert rotated.secret != made.new_signing_secret
    await webhooks.delete(webhook)
    assert (await bench.get(f"/v1/webhooks/{webhook}"))["error"]["code"] == 404


async def test_a_webhook_belongs_to_its_key(bench: Bench) -> None:
    made = await bench.post("/v1/webhooks", {"uri": "https://h/x", "subscribed_events": ["batch.failed"]})
    assert (await bench.get(f"/v1/webhooks/{made.json()['id']}", key="key-2"))["error"]["code"] == 404
