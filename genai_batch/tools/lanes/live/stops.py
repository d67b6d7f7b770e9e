"""What ends a run before its time, in words, and when it goes on."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from genai_batch.resources.answers import short
from genai_batch.tools.lanes.live.replies import Verdict

_HOUR_S = 3600


def comes_back(why: Verdict, now: float) -> float:
    """When a run goes on by itself, in seconds since 1970: quotas of a day begin anew at midnight Pacific time."""
    if why.comes == "day":
        day = datetime.fromtimestamp(now, _pacific())
        midnight = (day + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight.timestamp()
    return now + (why.advice_s or _HOUR_S)


def stop_notice(why: Verdict, until: float) -> str:
    """Say what it is, and when it goes on."""
    when = f"{datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC"
    what = {
        "day": "The quota of the day is used up; it begins anew at midnight Pacific time.",
        "hour": "Gemini takes no more requests from this key until that is put right.",
    }[why.comes]
    said = f"Stopped; what is answered is kept and the rest is not sent. {what} {short(why.said, 200)}"
    return f"{said} The job goes on by itself at {when}, or at once with resume_job."


def _pacific() -> tzinfo:
    try:
        return ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:  # a system without time zones
        return timezone(timedelta(hours=-8))
