"""What in the environment makes every call to Gemini impossible: told in one sentence before anything is sent.

No sentence holds a key, or the password of a proxy.
"""

import os
import re
import ssl
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

BASE_URL = "GOOGLE_GEMINI_BASE_URL"
KEYS = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy")
_QUOTES = "'\"`´‘’“”„«»"  # noqa: RUF001 - the quotation marks that word processors make
_ADDRESS = "it is the address of the server alone, like https://generativelanguage.googleapis.com"
_ADDED = re.compile(r"v1(?:beta1?|alpha)?|openai|models|upload|.*:\w+Content")
"""Parts of a path that the SDK adds itself."""
_KEY_PROBLEMS: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("holds a name before the key", re.compile(r"(?:export\s+)?\w*KEY\w*\s*[=:]", re.IGNORECASE).match),
    ("holds a line break", re.compile(r"[\r\n\v\f\x85\u2028\u2029]").search),
    ("holds a quotation mark", re.compile(f"[{_QUOTES}]").search),
    (
        "holds a placeholder instead of a key",
        re.compile(r"…|\.\.\.|[<>${}]|your.{0,20}key|^x+$", re.IGNORECASE).search,
    ),
    ("holds a blank", re.compile(r"\s").search),
    ("holds a control character", re.compile(r"[\x00-\x1f\x7f-\x9f]").search),
    ("holds a character that is not ASCII", re.compile(r"[^\x00-\x7f]").search),
)


def key_in(env: Mapping[str, str]) -> tuple[str, str]:
    """Return the variable that holds the API key and its value, both empty where none is set.

    White space around the value, such as the last newline of a file that it was read from, is left out.
    """
    name = next((name for name in KEYS if env.get(name)), "")
    return name, env.get(name, "").strip()


def connection_problem(env: Mapping[str, str]) -> str | None:
    """Say what makes every call impossible, and what to do about it; None where nothing is known to."""
    name, key = key_in(env)
    problem = key_problem(name, key) or address_problem(env.get(BASE_URL, ""))
    problem = problem or _certificate_problem(env) or _proxy_problem(env)
    return problem and f"{problem} Nothing was sent."


def key_problem(name: str, key: str) -> str | None:
    """Say why a value cannot be an API key, which goes over the wire as a header."""
    if not name:
        return None
    if not key:
        return f"{name} holds nothing but white space; set it to the key from AI Studio, or unset it."
    for problem, holds in _KEY_PROBLEMS:
        if holds(key):
            return f"{name} {problem}; set it to the key from AI Studio and nothing else."
    return None


def address_problem(url: str) -> str | None:
    """Say why an address cannot be the base of the API."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"{BASE_URL} cannot be read as an address; {_ADDRESS}."
    if re.search(r"\s", url):
        return f"{BASE_URL} holds a blank or a line break; {_ADDRESS}."
    if parts.scheme not in ("http", "https") or not host:
        return f"{BASE_URL} does not begin with https:// and a host; {_ADDRESS}."
    if added := next((part for part in parts.path.split("/") if _ADDED.fullmatch(part)), None):
        return f"{BASE_URL} has /{added[:40]} in it, which is added to each call; {_ADDRESS}."
    if parts.query or parts.fragment:
        return f"{BASE_URL} has a query or a fragment; {_ADDRESS}."
    return None


def _certificate_problem(env: Mapping[str, str]) -> str | None:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        if (path := env.get(name)) and not Path(path).exists():
            return f"{name} names {path[:200]}, which does not exist; correct it, or unset it."
    folders = env.get("SSL_CERT_DIR", "")
    if folders and not any(Path(folder).is_dir() for folder in folders.split(os.pathsep) if folder):
        return f"SSL_CERT_DIR names {folders[:200]}, which is no folder; correct it, or unset it."
    if path := env.get("SSL_CERT_FILE"):
        try:
            ssl.create_default_context(cafile=path)
        except (OSError, ValueError):  # an SSLError is an OSError
            return f"SSL_CERT_FILE names {path[:200]}, which holds no certificates (PEM); correct it, or unset it."
    return None


def _proxy_problem(env: Mapping[str, str]) -> str | None:
    for name in _PROXIES:
        scheme, separator, _ = env.get(name, "").partition("://")
        scheme = scheme.lower()
        if not separator or scheme in ("http", "https"):
            continue
        if scheme not in ("socks5", "socks5h"):
            return (
                f"{name} names a proxy of the kind {scheme[:20]!r}; it can be http://, https:// or socks5://HOST:PORT."
            )
        if find_spec("socksio") is None:
            return (
                f"{name} names a SOCKS proxy, which needs the package socksio: pipx inject genai-batch-mcp socksio, or "
                f"uv tool install --with socksio and what it was installed from. Or unset {name}."
            )
    return None
