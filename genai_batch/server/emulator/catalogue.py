"""Every fault that can be armed, with the moment it strikes, its parameters and a sentence."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

Stage = Literal["call", "file", "job"]

CALLS = [
    "upload_start",
    "upload_chunk",
    "create",
    "get",
    "list",
    "cancel",
    "delete_batch",
    "file_get",
    "file_list",
    "file_delete",
    "download",
    "generate",
    "embed",
    "count_tokens",
    "models",
    "webhooks",
]


OutcomeKind = Literal[
    "ok",
    "error",
    "status",
    "blocked",
    "prompt_blocked",
    "max_tokens",
    "loop",
    "empty",
    "no_parts",
    "disobeys",
    "off_schema",
]
"""An answer that `disobeys` is words where JSON was asked for, and does not end as told; one that is `off_schema` is
JSON that its schema does not allow; a `loop` repeats itself until it is cut."""
OUTCOMES: tuple[OutcomeKind, ...] = get_args(OutcomeKind)


@dataclass(frozen=True)
class Fault:
    """One thing that can go wrong."""

    name: str
    stage: Stage
    sentence: str
    params: dict[str, Any]
    times: int | None = 1


KEY = {"key": ".*"}
CATALOGUE = {
    fault.name: fault
    for fault in (
        Fault(
            "http_error", "call",
            "The call is refused; with 429 RetryInfo if retry_delay_s is set. `echo` quotes the key that came.",
            {"call": "any", "code": 503, "status": None, "message": None, "retry_delay_s": None, "quota_id": None,
             "quota_value": None, "help": True, "details": None, "body": None, "content_type": "text/html",
             "echo": False},
        ),
        Fault("drop_before", "call", "The connection breaks before the request is accepted.", {"call": "any"}),
        Fault("drop_after", "call", "The request is carried out, then the connection breaks.", {"call": "create"}),
        Fault("slow", "call", "The reply takes delay_s real seconds.", {"call": "any", "delay_s": 1.0}),
        Fault("hang", "call", "No reply until the client gives up.", {"call": "any"}),
        Fault("error_in_200", "call", "HTTP 200 with an error object as body.", {"call": "any", "code": 500}),
        Fault("not_json", "call", "HTTP 200 with an HTML page.", {"call": "any"}),
        Fault("empty_body", "call", "HTTP 200 with no body.", {"call": "any"}),
        Fault("upload_no_status", "call", "A chunk is answered without X-Goog-Upload-Status and not kept.",
              {"call": "upload_chunk"}),
        Fault("upload_error", "call", "HTTP 200, upload status final, and an error as body: no file is made.",
              {"call": "upload_chunk", "message": "Unsupported MIME type: jsonl"}),
        Fault("upload_cancelled", "call", "A chunk is answered with status cancelled.", {"call": "upload_chunk"}),
        Fault("download_drop", "call", "The download breaks off at a byte.", {"call": "download", "at_byte": 0}),
        Fault("short_body", "call", "The download promises its full length and ends at a byte.",
              {"call": "download", "at_byte": 0}),
        Fault("no_ranges", "call", "The download ignores that only a part was asked for.", {"call": "download"}),
        Fault("slow_download", "call", "The download comes in pieces, each after delay_s real seconds.",
              {"call": "download", "delay_s": 0.05, "piece_bytes": 65536}),
        Fault("redirect", "call", "The download is answered with 302 to another address.", {"call": "download"}),
        Fault("list_duplicate_page", "call", "A page of a list comes twice.", {"call": "list"}),
        Fault("expire_file", "file", "An uploaded file expires early; with `name`, an existing file expires now.",
              {"after_s": 0.0, "name": None}),
        Fault("process_fails", "file", "An uploaded file cannot be processed and is FAILED.", {}),
        Fault("delay", "job", "The job takes its time in each state.",
              {"queue_s": None, "run_s": None, "rows_per_s": None}),
        Fault("pending_forever", "job", "The job stays PENDING until it expires.", {}),
        Fault("running_forever", "job", "The job stays RUNNING until it expires.", {}),
        Fault("expire", "job", "The job ends EXPIRED, after_s from its creation.", {"after_s": None}),
        Fault("fail", "job", "The job ends FAILED with an error, after_s from its creation.",
              {"code": 13, "message": "Internal error encountered.", "after_s": None, "details": None}),
        Fault("no_output", "job", "The job says SUCCEEDED but has no output for some polls.", {"polls": 3}),
        Fault("unknown_state", "job", "While it runs the job shows a state nobody knows.",
              {"state": "BATCH_STATE_REHYDRATING"}),
        Fault("inline_results", "job", "A file job answers inline instead of with a file.", {}),
        Fault("output_only_in_metadata", "job", "Results are in metadata.output and not in response.", {}),
        Fault("output_only_in_response", "job", "Results are in response and not in metadata.output.", {}),
        Fault("list_lag", "job", "The job is missing from the next lists.", {"lists": 3}),
        Fault("shuffle", "job", "Result rows come in another order.", {}),
        Fault("swap", "job", "Matching result rows come with each other's answers, two by two.", KEY),
        Fault("drop_key", "job", "Matching result rows come without their key.", KEY),
        Fault("duplicate", "job", "Matching result rows come twice.", KEY),
        Fault("omit", "job", "Matching result rows do not come.", KEY),
        Fault("cut_line", "job", "Matching result lines are cut in half; without `key` the file ends in the last.",
              {"key": None}),
        Fault("no_final_newline", "job", "The result file does not end with a newline.", {}),
        Fault(
            "row", "job",
            "Matching rows have another outcome, one of OUTCOMES, or say exactly `text`, where a picture was asked "
            "for too; `candidate` holds fields of the first candidate, put over those that it has.",
            {"match": {}, "outcome": "error", "code": 13, "message": "Internal error encountered.", "details": None,
             "finish_reason": None, "block_reason": "SAFETY", "output_chars": None, "text": None,
             "candidate": None},
            times=None,
        ),
    )
}  # fmt: skip
COMMON = {"times", "after", "fault", "display_name", "batch"}
