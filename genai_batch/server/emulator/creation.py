"""Accepting a batch: checked whole, then recorded in one step, so that a crash leaves either all of it or nothing."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from . import clock
from .batches import Batch, find_batch, input_path, insert_batch, new_id, timeline_columns
from .faults import strike_job
from .models import Model
from .plan import Plan
from .progress import plan_timeline
from .settings import Settings, read_settings
from .store import Store
from .survey import Survey, survey
from .wire import HELP, ApiError, Object


@dataclass(frozen=True)
class Order:
    """What a create call asks for."""

    owner: str
    kind: str
    model: Model
    shown_model: str
    display_name: str
    source: Object
    priority: str | None = None


def create_batch(store: Store, order: Order, requests: Path) -> Batch:
    """Check and record a batch whose requests lie in a file."""
    batch_id = new_id(36)
    link = input_path(store, batch_id)
    try:
        os.link(requests, link)
    except OSError:  # a file system without hard links
        shutil.copyfile(requests, link)
    try:
        _accept(store, order, batch_id, link)
    except BaseException:
        link.unlink(missing_ok=True)
        raise
    return find_batch(store, order.owner, batch_id)


def _accept(store: Store, order: Order, batch_id: str, path: Path) -> None:
    found = survey(store, order.owner, path, order.kind, order.model, Plan())
    settings = read_settings(store)
    _check_allowance(store, order, found, settings)
    struck = strike_job(store, order.display_name)
    plan = Plan([fault.params | {"fault": fault.name} for fault in struck], sorted(found.missing_files))
    if plan.rules():
        found = survey(store, order.owner, path, order.kind, order.model, plan)
    found.save_fingerprints(path)
    with store.transaction():
        _check_allowance(store, order, found, settings)
        line = plan_timeline(clock.now(store), found.requests, plan, settings)
        lag = plan.get("list_lag") or {}
        insert_batch(
            store,
            {
                "id": batch_id, "owner": order.owner, "kind": order.kind, "model": order.shown_model,
                "display_name": order.display_name, "source": msgspec.json.encode(order.source).decode(),
                "priority": order.priority, "plan": msgspec.json.encode(plan).decode(), "requests": found.requests,
                "tokens": found.tokens, "failures": found.failures.tobytes(), "lists": lag.get("lists", 0),
            } | timeline_columns(line),
        )  # fmt: skip


def _check_allowance(store: Store, order: Order, found: Survey, settings: Settings) -> None:
    at = clock.now(store)
    active = store.rows(
        "SELECT model, COUNT(*) AS jobs, SUM(tokens) AS tokens FROM batches "
        "WHERE owner = ? AND ends_at > ? GROUP BY model",
        order.owner, at,
    )  # fmt: skip
    if sum(int(row["jobs"]) for row in active) >= settings.max_active_jobs:
        raise _over_quota("BatchJobsPerProject", settings.max_active_jobs, order)
    limit = _allowance(settings, order.model)
    shared = isinstance(settings.enqueued_tokens, int)
    waiting = sum(int(row["tokens"]) for row in active if shared or row["model"] == order.shown_model)
    if limit is not None and waiting + found.tokens > limit:
        raise _over_quota("BatchEnqueuedTokensPerModelPerProject", limit, order)


def _allowance(settings: Settings, model: Model) -> int | None:
    given = settings.enqueued_tokens
    if isinstance(given, int):
        return given
    if given and model.id in given:
        return given[model.id]
    return model.allowance[settings.tier - 1] if settings.tier else None


def _over_quota(quota: str, limit: int, order: Order) -> ApiError:
    violation: Object = {
        "quotaMetric": "generativelanguage.googleapis.com/batch_enqueued",
        "quotaId": quota,
        "quotaDimensions": {"model": order.model.id, "location": "global"},
        "quotaValue": str(limit),
    }
    failure: Object = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}
    message = f"You exceeded your current quota, please check your plan and billing details. Limit: {quota} {limit}."
    return ApiError(429, message, details=[failure, HELP])
