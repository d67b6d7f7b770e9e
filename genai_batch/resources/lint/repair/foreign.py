"""Lines of OpenAI's and Anthropic's batch files, written as requests to Gemini.

OpenAI's hold `{custom_id, method, url, body}`, Anthropic's `{custom_id, params}`. What Gemini has no counterpart for is
named, never dropped in silence.
"""

import mimetypes
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from genai_batch.resources.answers import brief
from genai_batch.resources.lint import schema as schemas
from genai_batch.resources.lint.repair.schemas import openapi
from genai_batch.resources.untyped import as_list, as_object, is_list, is_object

Object = dict[str, Any]
_ENVELOPE = frozenset({"custom_id", "method", "url", "body", "params"})
_DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=.+-]+)*;base64,", re.ASCII)
_DIRECT: Mapping[str, str] = {
    "max_tokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens",
    "max_output_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "n": "candidateCount",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
_IDLE = frozenset({"model", "stream", "stream_options", "encoding_format"})
"""Fields that say nothing here: the job names the model, and nothing is streamed."""
_DEFAULTS: Mapping[str, Any] = {
    "n": 1,
    "parallel_tool_calls": True,
    "logprobs": False,
    "top_logprobs": 0,
}
"""Values that ask for nothing."""
_EFFORTS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH"}


class Foreign(NamedTuple):
    """Whose batch format a line has: the name of the API, and the kind of call that the line is."""

    api: str
    call: str


class Converted(NamedTuple):
    """Requests to Gemini that a line became, several where it asks for several vectors; and what was left out."""

    requests: list[Object]
    left: list[str]


class Unconvertible(Exception):
    """A line that no request to Gemini can stand for; its text says why."""


def foreign(line: Mapping[str, Any]) -> Foreign | None:
    """Whose batch format a line has; None where it is no line of another API."""
    if "request" in line or not is_object(line.get("body", line.get("params"))):
        return None
    if "params" in line:
        return Foreign("Anthropic", "messages") if "messages" in line["params"] else None
    body, url = line["body"], str(line.get("url", ""))
    for call in ("embeddings", "responses", "chat/completions", "completions"):
        if url.rstrip("/").endswith(f"/{call}"):
            return Foreign("OpenAI", call)
    if url:
        return Foreign("OpenAI", url)
    if "messages" in body:
        return Foreign("OpenAI", "chat/completions")
    return Foreign("OpenAI", "responses" if "instructions" in body else "embeddings") if "input" in body else None


def convert(line: Mapping[str, Any]) -> Converted:
    """Write a line of another API as requests to Gemini.

    Raises:
        Unconvertible: it asks for something that Gemini does not do in a batch.
    """
    source = foreign(line)
    if source is None:
        raise Unconvertible("is no line of a batch of OpenAI or Anthropic")
    if (read := _READERS.get(source.call)) is None:
        raise Unconvertible(f"asks OpenAI for {brief(source.call, 60)}, which no request to Gemini can stand for")
    reader = _Reader(as_object(line.get("body", line.get("params"))))
    requests = read(reader)
    return Converted(requests, [*reader.left, *sorted(reader.unread())])


class _Reader:
    """Reads the fields of one call, and keeps the names of those that have no counterpart."""

    def __init__(self, body: Object) -> None:
        self.body = body
        self.left: list[str] = []
        self._read: set[str] = set(_IDLE)

    def take(self, name: str) -> Any:
        """The value of a field, which is converted then."""
        self._read.add(name)
        return self.body.get(name)

    def unread(self) -> Iterator[str]:
        """The fields that were not converted and ask for something."""
        for name, value in self.body.items():
            if name not in self._read and value is not None and value != _DEFAULTS.get(name, _NOTHING):
                yield name

    def settings(self) -> Object:
        """The settings that differ in their name only."""
        result: Object = {}
        for name, ours in _DIRECT.items():
            value = self.take(name)
            if value is not None and value != _DEFAULTS.get(name, _NOTHING):
                result[ours] = value
        return result


_NOTHING = object()


def _chat(reader: _Reader) -> list[Object]:
    """A call of OpenAI's chat completions."""
    settings = reader.settings()
    if (stop := reader.take("stop")) is not None:
        settings["stopSequences"] = stop if is_list(stop) else [stop]
    answer_format(as_object(reader.take("response_format")), settings)
    _effort(reader.take("reasoning_effort"), settings, reader)
    request = _request(as_list(reader.take("messages")), reader, settings)
    _functions(reader, request)
    return [request]


def _responses(reader: _Reader) -> list[Object]:
    """A call of OpenAI's responses."""
    settings = reader.settings()
    answer_format(as_object(as_object(reader.take("text")).get("format")), settings)
    _effort(as_object(reader.take("reasoning")).get("effort"), settings, reader)
    field = reader.take("input")
    turns = [{"role": "user", "content": field}] if isinstance(field, str) else as_list(field)
    if instructions := reader.take("instructions"):
        turns = [{"role": "system", "content": instructions}, *turns]
    request = _request(turns, reader, settings)
    _functions(reader, request)
    return [request]


def _completions(reader: _Reader) -> list[Object]:
    """A call of OpenAI's old completions."""
    settings = reader.settings()
    if (stop := reader.take("stop")) is not None:
        settings["stopSequences"] = stop if is_list(stop) else [stop]
    prompt = reader.take("prompt")
    if not isinstance(prompt, str):
        raise Unconvertible("has a prompt that is no text")
    return [_request([{"role": "user", "content": prompt}], reader, settings)]


def _embeddings(reader: _Reader) -> list[Object]:
    """A call for vectors: one request for each text."""
    texts = reader.take("input")
    texts = texts if is_list(texts) else [texts]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise Unconvertible("asks for vectors of tokens; Gemini takes texts")
    size = reader.take("dimensions")
    more = {"outputDimensionality": size} if size is not None else {}
    return [{"content": {"parts": [{"text": text}]}, **more} for text in texts]


def _messages(reader: _Reader) -> list[Object]:
    """A call of Anthropic's messages."""
    settings = reader.settings()
    if (stop := reader.take("stop_sequences")) is not None:
        settings["stopSequences"] = stop
    thinking = as_object(reader.take("thinking"))
    if thinking.get("budget_tokens") is not None:
        settings["thinkingConfig"] = {"thinkingBudget": thinking["budget_tokens"]}
    turns = as_list(reader.take("messages"))
    if system := reader.take("system"):
        turns = [{"role": "system", "content": system}, *turns]
    request = _request(turns, reader, settings)
    _functions(reader, request)
    return [request]


_READERS: Mapping[str, Callable[[_Reader], list[Object]]] = {
    "chat/completions": _chat,
    "responses": _responses,
    "completions": _completions,
    "embeddings": _embeddings,
    "messages": _messages,
}


def _request(turns: list[Any], reader: _Reader, settings: Object) -> Object:
    """Turns of any role, as contents and a system instruction."""
    contents: list[Object] = []
    system: list[Object] = []
    names: dict[str, str] = {}
    for turn in turns:
        if not is_object(turn):
            raise Unconvertible("has a message that is no object")
        role, parts = str(turn.get("role", "user")), _parts_of(turn, names, reader)
        if role in ("system", "developer"):
            system += parts
            continue
        ours = "model" if role == "assistant" or turn.get("type") == "function_call" else "user"
        if contents and contents[-1]["role"] == ours:
            contents[-1]["parts"] += parts
        elif parts:
            contents.append({"role": ours, "parts": parts})
    request: Object = {"contents": contents, **_service(reader)}
    if system:
        request["systemInstruction"] = {"parts": system}
    return request | ({"generationConfig": settings} if settings else {})


_USUAL_TIERS = ("auto", "default", "standard_only")
"""Tiers that ask for nothing beyond what a job does anyway."""


def _service(reader: _Reader) -> Object:
    """The tier at which a request is served and whether it is stored, which Gemini calls the same."""
    fields: Object = {}
    tier, store = reader.body.get("service_tier"), reader.body.get("store")
    if tier in ("flex", "priority", *_USUAL_TIERS):
        reader.take("service_tier")
        fields |= {} if tier in _USUAL_TIERS else {"serviceTier": tier}
    if isinstance(store, bool):
        fields["store"] = reader.take("store")
    return fields


def _parts_of(turn: Object, names: dict[str, str], reader: _Reader) -> list[Object]:
    """The parts of a message; `names` are those of functions by the ids of their calls."""
    if turn.get("role") == "tool":
        return [_result(turn.get("tool_call_id"), turn.get("content"), names)]
    if turn.get("type") in ("function_call", "function_call_output"):
        return _parts_of({"role": "x", "content": [turn]}, names, reader)
    content = turn.get("content")
    parts = [{"text": content}] if isinstance(content, str) and content else []
    for part in as_list(content):
        parts += _part(as_object(part), names, reader)
    for call in as_list(turn.get("tool_calls")):
        function = as_object(as_object(call).get("function"))
        parts += _call(as_object(call).get("id"), function.get("name"), function.get("arguments"), names)
    return parts


def _part(part: Object, names: dict[str, str], reader: _Reader) -> list[Object]:
    kind = str(part.get("type"))
    if kind in ("text", "input_text", "output_text"):
        return [{"text": part["text"]}] if part.get("text") else []
    if kind == "tool_use":
        return _call(part.get("id"), part.get("name"), part.get("input"), names)
    if kind == "function_call":
        return _call(part.get("call_id"), part.get("name"), part.get("arguments"), names)
    if kind in ("tool_result", "function_call_output"):
        field = part.get("tool_use_id", part.get("call_id"))
        return [_result(field, part.get("content", part.get("output")), names)]
    if medium := medium_of(part):
        return [medium]
    reader.left.append(f"a part of the type {brief(kind, 40)}")
    return []


def medium_of(part: Object) -> Object | None:
    """A part of another API that holds a picture, a sound or a document, as Gemini writes it; None for any other."""
    kind = part.get("type")
    if kind in ("image_url", "input_image"):
        link = part.get("image_url", part.get("imageUrl"))
        detail = part.get("detail", link.get("detail") if is_object(link) else None)
        result = _linked(link.get("url") if is_object(link) else link)
        levels = {"low": "MEDIA_RESOLUTION_LOW", "high": "MEDIA_RESOLUTION_HIGH"}
        if result and str(detail) in levels:
            result["mediaResolution"] = {"level": levels[str(detail)]}
        return result
    if kind == "input_audio":
        audio = as_object(part.get("input_audio"))
        return {"inlineData": {"mimeType": f"audio/{audio.get('format', 'wav')}", "data": audio.get("data")}}
    if kind in ("file", "input_file"):
        return _linked(as_object(part.get("file", part)).get("file_data"))
    source = as_object(part.get("source"))
    if kind in ("image", "document") and source.get("type") == "base64":
        return {"inlineData": {"mimeType": source.get("media_type"), "data": source.get("data")}}
    if kind in ("image", "document") and source.get("type") == "url":
        return _linked(source.get("url"))
    if kind == "document" and source.get("type") == "text":
        return {"text": source.get("data")}
    return None


def _linked(link: Any) -> Object | None:
    if not isinstance(link, str) or not link:
        return None
    if found := _DATA_URI.match(link):
        return {"inlineData": {"mimeType": found[1], "data": link[found.end() :]}}
    if not link.startswith(("https://", "http://", "gs://")):
        return None
    mime, _ = mimetypes.guess_type(PurePosixPath(urlsplit(link).path).name)
    return {"fileData": {**({"mimeType": mime} if mime else {}), "fileUri": link}}


def _call(field: Any, name: Any, arguments: Any, names: dict[str, str]) -> list[Object]:
    import json

    names[str(field)] = str(name)
    try:
        read = json.loads(arguments) if isinstance(arguments, str) and arguments else arguments
    except ValueError:
        read = {"arguments": arguments}
    return [{"functionCall": {"name": str(name), "args": as_object(read)}}]


def _result(field: Any, content: Any, names: Mapping[str, str]) -> Object:
    parts = [as_object(part).get("text") for part in as_list(content)]
    text = "\n".join(part for part in parts if isinstance(part, str)) if is_list(content) else content
    return {"functionResponse": {"name": names.get(str(field), str(field)), "response": {"result": text}}}


def answer_format(field: Object, settings: Object) -> None:
    """The form of an answer: text, JSON, or JSON of a schema."""
    if field.get("type") in ("json_object", "json_schema"):
        settings["responseMimeType"] = "application/json"
    schema = as_object(field.get("json_schema", field)).get("schema")
    if not is_object(schema):
        return
    result = {"responseSchema": _closed(deepcopy(schema))}
    list(openapi(result, "responseSchema"))
    fits = not any(not problem.doubt for problem in schemas.keywords(result["responseSchema"]))
    settings.update(result if fits else {"responseJsonSchema": schema})


def _closed(schema: Any) -> Any:
    """A schema without `additionalProperties: false`, which says what holds in Gemini anyway."""
    if is_list(schema):
        return [_closed(element) for element in schema]
    if not is_object(schema):
        return schema
    return {name: _closed(value) for name, value in schema.items() if (name, value) != ("additionalProperties", False)}


def _effort(field: Any, settings: Object, reader: _Reader) -> None:
    if str(field) in _EFFORTS:
        settings["thinkingConfig"] = {"thinkingLevel": _EFFORTS[str(field)]}
    elif field == "none":
        settings["thinkingConfig"] = {"thinkingBudget": 0}
    elif field is not None:
        reader.left.append(f"the reasoning effort {brief(str(field), 30)}")


def _functions(reader: _Reader, request: Object) -> None:
    """Functions, searches, and how they are to be chosen."""
    declared: list[Object] = []
    tools: list[Object] = []
    for tool in as_list(reader.take("tools")):
        field = as_object(tool)
        function = as_object(field.get("function", field))
        if str(field.get("type", "")).startswith("web_search"):
            tools.append({"googleSearch": {}})
        elif "name" in function and (field.get("type") in ("function", "custom", None)):
            schema = function.get("parameters", function.get("input_schema"))
            more = {"parametersJsonSchema": schema} if schema else {}
            about = {"description": function["description"]} if function.get("description") else {}
            declared.append({"name": function["name"], **about, **more})
        else:
            reader.left.append(f"the tool {brief(str(field.get('type')), 40)}")
    if declared:
        tools.append({"functionDeclarations": declared})
    if tools:
        request["tools"] = tools
    if (choice := reader.take("tool_choice")) is not None:
        _choice(choice, request, reader)


def _choice(choice: Any, request: Object, reader: _Reader) -> None:
    kind = as_object(choice).get("type") if is_object(choice) else choice
    name = as_object(choice).get("name") or as_object(as_object(choice).get("function")).get("name")
    modes = {"auto": "AUTO", "none": "NONE", "required": "ANY", "any": "ANY", "function": "ANY", "tool": "ANY"}
    if str(kind) not in modes:
        reader.left.append("tool_choice")
        return
    allowed = {"allowedFunctionNames": [name]} if name else {}
    request["toolConfig"] = {"functionCallingConfig": {"mode": modes[str(kind)], **allowed}}


def can_convert(source: Foreign) -> bool:
    """Whether calls of this kind can be written as requests to Gemini."""
    return source.call in _READERS


def columns_beside(line: Mapping[str, Any]) -> Object:
    """The fields of a line that are the user's own."""
    return {name: value for name, value in line.items() if name not in _ENVELOPE}
