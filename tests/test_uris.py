"""URIs are made as the SDK's own templates make them, so that they match what the server registers."""

import pytest
from mcp.shared.uri_template import UriTemplate

from genai_batch.resources import uris

KEYS = ["plain", "with space", "a/b", "../..", "ü?#&%25", "%", "+", "~._-", "日本語", "C:\\x", "{key}", "a,b;c=d"]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_encoded_whole_and_comes_back(key: str) -> None:
    made = uris.result("job_a", key)
    template = UriTemplate.parse(uris.RESULT)
    assert made == template.expand({"job_id": "job_a", "key": key})
    assert template.match(made) == {"job_id": "job_a", "key": key}
    assert UriTemplate.parse(uris.MEDIA).match(uris.media("job_a", key, 3)) == {
        "job_id": "job_a",
        "key": key,
        "index": "3",
    }


def test_a_page_has_only_the_parameters_that_are_given() -> None:
    assert uris.results("job_a") == "batch://jobs/job_a/results"
    made = uris.results("job_a", outcome="error", cursor="1f", limit=7)
    assert UriTemplate.parse(uris.RESULTS).match(made) == {
        "job_id": "job_a",
        "outcome": "error",
        "cursor": "1f",
        "limit": "7",
    }
