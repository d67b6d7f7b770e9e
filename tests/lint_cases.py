"""One failing and one passing example of every lint rule: where it is from, its code, the model, the two requests.

`field N` is the N-th report of users that the rule goes back to, `reference N.M` a section of what is known of the API.
"""

import re
from datetime import date
from typing import Any, NamedTuple

from genai_batch.resources import models
from genai_batch.resources.models import Model

TEXT, OLD, PRO = "gemini-3.8-flash", "gemini-2.5-flash", "gemini-2.5-pro"
IMAGE, SPEECH, VECTOR = "gemini-3.1-flash-image", "gemini-3.8-flash-tts", "gemini-embedding-2"
PNG, PDF = "iVBORw0KGgoAAAAN", "JVBERi0xLjQKJcOk"
URI = "https://generativelanguage.googleapis.com/v1beta/files/abc"
SCHEMA = {"type": "OBJECT", "properties": {"name": {"type": "STRING"}}, "required": ["name"]}
FUNCTION = {"function_declarations": [{"name": "f"}]}
VOICE = {"voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}}}
Object = dict[str, Any]


class Case(NamedTuple):
    """A rule at work."""

    code: str
    bad: Object
    good: Object
    model: str = TEXT


def model(name: str = TEXT) -> Model:
    """A model on the day these cases are of."""
    return models.find(name, date(2026, 11, 20))


def camel(name: str) -> str:
    """`max_output_tokens` as `maxOutputTokens`."""
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


def ask(*parts: Any, **settings: Any) -> Object:
    """A request of one turn with settings."""
    turn = {"role": "user", "parts": list(parts) or [{"text": "hi"}]}
    return {"contents": [turn], "generation_config": {"max_output_tokens": 4_000, **settings}}


def beside(**fields: Any) -> Object:
    """A request with more fields beside its contents."""
    return ask() | fields


def said(*turns: Any) -> Object:
    """A request of several turns."""
    return ask() | {"contents": list(turns)}


def structured(schema: Any, **settings: Any) -> Object:
    """A request for JSON of a schema."""
    return ask(response_schema=schema, response_mime_type="application/json", **settings)


def blob(data: Any, mime: Any = "image/png", **more: Any) -> Object:
    """A request with media inside."""
    return ask({"text": "Look."}, {"inline_data": {"mime_type": mime, "data": data, **more}})


def linked(uri: Any, **more: Any) -> Object:
    """A request with media elsewhere."""
    return ask({"text": "Look."}, {"file_data": {"file_uri": uri, "mime_type": "image/png"} | more})


def turn(role: str, text: str = "hi") -> Object:
    """A turn of text."""
    return {"role": role, "parts": [{"text": text}]}


def speak(**more: Any) -> Object:
    """A request for speech."""
    return ask(**{"response_modalities": ["AUDIO"], "speech_config": VOICE, **more})


def embed(**more: Any) -> Object:
    """An embedding request."""
    return {"content": {"parts": [{"text": "hi"}]}, **more}


PLACES = {
    "field 10, a setting beside contents": Case("misplaced", beside(temperature=1), ask(seed=1)),
    "reference 6.20, thinking_config beside contents": Case(
        "misplaced", beside(thinkingConfig={"thinkingLevel": "LOW"}), ask(thinkingConfig={"thinkingLevel": "LOW"})
    ),
    "field 10, thinking_level beside thinking_config": Case(
        "misplaced", ask(thinking_level="LOW"), ask(thinking_config={"thinking_level": "LOW"})
    ),
    "field 8, system_instruction in generation_config": Case(
        "misplaced", ask(systemInstruction=turn("user")), beside(systemInstruction=turn("user"))
    ),
    "reference 3.1, the config of the SDK": Case("sdk-config", beside(config={}), beside(generationConfig={})),
    "reference 6.20, a field nobody knows": Case("unknown-field", ask(temprature=1), ask(seed=1)),
    "field 10, a name of another API": Case("unknown-field", ask(max_tokens=9), ask(max_output_tokens=2_000)),
    "reference 1.3, system_instructions": Case(
        "unknown-field", beside(system_instructions=turn("user")), beside(system_instruction=turn("user"))
    ),
    "reference 3.1, a part of another API": Case(
        "unknown-field", ask({"type": "text", "text": "hi"}), ask({"text": "hi"})
    ),
    "reference 3.1, the content of another API": Case(
        "unknown-field", said({"role": "user", "content": "hi"}), said(turn("user"))
    ),
    "reference 3.1, content for contents": Case("unknown-field", beside(content={}), ask()),
    "reference 1.3, a setting of Vertex": Case("vertex-only", ask(audio_timestamp=True), ask(seed=1)),
    "reference 1.3, a tool of Vertex": Case("vertex-only", beside(tools=[{"retrieval": {}}]), beside(tools=[FUNCTION])),
    "reference 3.1, settings that are none": Case("settings-shape", beside(generation_config=[]), ask()),
    "reference 3.1, a system_instruction that is a string": Case(
        "system-shape", beside(system_instruction="be brief"), beside(system_instruction=turn("user"))
    ),
    "reference 3.1, a system_instruction without parts": Case(
        "system-shape", beside(system_instruction={}), beside(system_instruction=turn("user"))
    ),
    "reference 3.1, a picture as system_instruction": Case(
        "system-text", beside(system_instruction={"parts": [{}]}), beside(system_instruction=turn("user"))
    ),
    "reference 6.24, an empty system_instruction": Case(
        "system-empty", beside(system_instruction=turn("user", "")), beside(system_instruction=turn("user"))
    ),
}
NUMBERS = {
    "reference 3.1, a number that is a word": Case("not-a-number", ask(seed="many"), ask(seed="7")),
    "reference 3.1, a number out of range": Case("out-of-range", ask(max_output_tokens=0), ask()),
    "reference 3.1, half a token": Case("out-of-range", ask(seed=0.5), ask(seed=7)),
    "reference 3.1, one stop sequence": Case("stop-shape", ask(stop_sequences="END"), ask(stop_sequences=["END"])),
    "reference 3.1, six stop sequences": Case(
        "stop-count", ask(stop_sequences=["x"] * 6), ask(stop_sequences=["x"] * 5)
    ),
    "field 4.10, sampling that is ignored": Case("sampling-ignored", ask(temperature=0), ask(seed=1)),
    "field 4.10, sampling of Gemini 3": Case(
        "sampling-unwise", ask(top_p=0.5), ask(temperature=1), "gemini-3.1-pro-preview"
    ),
    "field 4.10, a low temperature on Gemini 3": Case(
        "sampling-unwise", ask(temperature=0), ask(temperature=1), "gemini-3.5-flash"
    ),
    "reference 3.1, several candidates": Case("candidates", ask(candidate_count=2), ask(candidate_count=1)),
    "reference 3.1, a penalty": Case("penalty", ask(presence_penalty=1), ask(presence_penalty=0)),
    "reference 3.1, logprobs without the switch": Case(
        "logprobs", ask(logprobs=2), ask(logprobs=2, response_logprobs=True)
    ),
    "field 14, no bound of the output": Case("output-unbounded", {"contents": [turn("user")]}, ask()),
    "reference 5, a bound above the model's": Case("output-over", ask(max_output_tokens=99_999), ask()),
    "field 13, a bound that thinking eats": Case("output-eaten", ask(max_output_tokens=300), ask()),
    "reference 5, a budget above the bound": Case(
        "output-eaten",
        ask(thinking_config={"thinking_budget": 8_000}),
        ask(thinking_config={"thinking_budget": 0}),
        OLD,
    ),
    "field 13, a bound below the schema": Case(
        "output-schema",
        structured(SCHEMA | {"minItems": 900, "items": SCHEMA, "type": "ARRAY"}),
        structured(SCHEMA),
    ),
}
THINKING = {
    "reference 3.1, a thinking_config that is none": Case(
        "thinking-shape", ask(thinking_config="LOW"), ask(thinking_config={"thinking_level": "LOW"})
    ),
    "reference 3.1, level and budget": Case(
        "thinking-both",
        ask(thinking_config={"thinking_level": "LOW", "thinking_budget": 9}),
        ask(thinking_config={"thinking_level": "LOW", "include_thoughts": True}),
    ),
    "reference 3.1, a level of no model": Case(
        "thinking-level",
        ask(thinking_config={"thinking_level": "MAX"}),
        ask(thinking_config={"thinking_level": "high"}),
    ),
    "reference 3.1, a level of another model": Case(
        "thinking-level",
        ask(thinking_config={"thinking_level": "MINIMAL"}),
        ask(thinking_config={"thinking_level": "LOW"}),
    ),
    "reference 3.1, a level of no model yet": Case(
        "thinking-level",
        ask(thinking_config={"thinking_level": "XHIGH"}),
        ask(thinking_config={"thinking_level": "MINIMAL"}),
        "gemini-3.5-flash",
    ),
    "reference 3.1, a level on Gemini 2.5": Case(
        "thinking-level-old",
        ask(thinking_config={"thinking_level": "LOW"}),
        ask(thinking_config={"thinking_budget": 1_000}),
        OLD,
    ),
    "reference 3.1, thinking switched off where that cannot be": Case(
        "thinking-budget",
        ask(thinking_config={"thinking_budget": 0}),
        ask(thinking_config={"thinking_budget": -1}),
        PRO,
    ),
    "reference 3.1, a budget that is a word": Case(
        "thinking-budget",
        ask(thinking_config={"thinking_budget": "x"}),
        ask(thinking_config={"thinking_budget": "-1"}),
        OLD,
    ),
    "reference 3.1, a budget on Gemini 3": Case(
        "thinking-budget-old",
        ask(thinking_config={"thinking_budget": 100}),
        ask(thinking_config={"thinking_level": "LOW"}),
    ),
}
SCHEMAS = {
    "field 9, both schemas": Case("schema-both", structured(SCHEMA, response_json_schema={}), structured(SCHEMA)),
    "field 9, responseJsonSchema": Case(
        "json-schema", ask(responseJsonSchema={}, responseMimeType="application/json"), structured(SCHEMA)
    ),
    "field 8, a schema without its type": Case("schema-mime", ask(response_schema=SCHEMA), structured(SCHEMA)),
    "reference 3.1, a type of answer nobody writes": Case(
        "mime", ask(response_mime_type="text/csv"), ask(response_mime_type="text/plain")
    ),
    "field 8, a reference in a schema": Case(
        "schema-keyword", structured({"$ref": "#/$defs/Item"}), structured({"type": "object", "minItems": 1})
    ),
    "field 8, additionalProperties": Case(
        "schema-additional", structured(SCHEMA | {"additionalProperties": False}), structured(SCHEMA)
    ),
    "field 8, a schema that names its dialect": Case(
        "schema-keyword",
        structured(SCHEMA | {"$schema": "https://json-schema.org/draft/2020-12/schema"}),
        structured(SCHEMA),
    ),
    "field 8, nested classes": Case(
        "schema-keyword",
        structured({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}}),
        structured({"type": "object", "properties": {"a": {"type": "string"}}}),
    ),
    "field 8, a class that holds itself": Case(
        "schema-keyword",
        structured({"$ref": "#/$defs/A", "$defs": {"A": {"properties": {"a": {"$ref": "#/$defs/A"}}}}}),
        structured({"type": "object", "properties": {}}),
    ),
    "field 8, a list of types": Case(
        "schema-type", structured({"type": ["STRING", "NULL"]}), structured({"type": "STRING", "nullable": True})
    ),
    "field 8, a type of Python": Case("schema-type", structured({"type": "str"}), structured({"type": "string"})),
    "field 8, an array of nothing": Case(
        "schema-items", structured({"type": "ARRAY"}), structured({"type": "ARRAY", "items": {"type": "STRING"}})
    ),
    "field 8, a property required and not described": Case(
        "schema-required", structured(SCHEMA | {"required": ["nmae"]}), structured(SCHEMA)
    ),
    "field 8, a schema in a string": Case("schema-shape", structured("{}"), structured(SCHEMA)),
    "reference 3.1, a schema for speech": Case("schema-speech", speak(response_schema=SCHEMA), speak(), SPEECH),
}
MAKING = {
    "reference 3.1, a modality of no model": Case(
        "modality", ask(response_modalities=["SMELL"]), ask(response_modalities=["Text"])
    ),
    "reference 3.1, modalities that are no list": Case(
        "modality-shape", ask(response_modalities="TEXT"), ask(response_modalities=["TEXT"])
    ),
    "reference 3.1, speech without AUDIO": Case("modality-speech", ask(speech_config=VOICE), speak(), SPEECH),
    "reference 3.1, a picture model asked for text": Case(
        "modality-image", ask(response_modalities=["TEXT"]), ask(response_modalities=["TEXT", "IMAGE"]), IMAGE
    ),
    "reference 3.1, a text model asked for a picture": Case(
        "modality-text", ask(response_modalities=["IMAGE"]), ask(response_modalities=["TEXT"])
    ),
    "reference 3.1, no voice": Case("voice", ask(response_modalities=["AUDIO"]), speak(), SPEECH),
    "reference 3.1, a voice nobody hears": Case("voice-unused", ask(speech_config=VOICE), ask()),
    "reference 3.1, a voice that is a string": Case("speech-shape", speak(speech_config="Kore"), speak(), SPEECH),
    "reference 3.1, one voice and several": Case(
        "voice-both",
        speak(speech_config=VOICE | {"multi_speaker_voice_config": {}}),
        speak(speech_config={"multi_speaker_voice_config": {}}),
        SPEECH,
    ),
    "reference 3.1, three speakers": Case(
        "speakers",
        speak(speech_config={"multi_speaker_voice_config": {"speaker_voice_configs": [{}] * 3}}),
        speak(speech_config={"multi_speaker_voice_config": {"speaker_voice_configs": [{}] * 2}}),
        SPEECH,
    ),
    "reference 3.1, a system_instruction for speech": Case(
        "speech-extra", speak() | {"system_instruction": turn("user")}, speak(), SPEECH
    ),
    "reference 3.1, a resolution of no model": Case(
        "media-resolution", ask(media_resolution="BEST"), ask(media_resolution="MEDIA_RESOLUTION_LOW")
    ),
    "reference 3.1, an image_config that is a string": Case(
        "image-shape", ask(image_config="1:1"), ask(image_config={"aspect_ratio": "1:1"}), IMAGE
    ),
    "reference 3.1, an image_config for text": Case("image-unused", ask(image_config={}), ask()),
    "reference 3.1, a ratio that is none": Case(
        "aspect-ratio", ask(image_config={"aspect_ratio": "wide"}), ask(image_config={"aspect_ratio": "16:9"}), IMAGE
    ),
    "reference 3.1, a ratio nobody lists": Case(
        "aspect-ratio", ask(image_config={"aspect_ratio": "7:3"}), ask(image_config={"aspect_ratio": "21:9"}), IMAGE
    ),
    "reference 3.1, a size in lower case": Case(
        "image-size", ask(image_config={"image_size": "2k"}), ask(image_config={"image_size": "2K"}), IMAGE
    ),
    "reference 3.1, a size nobody lists": Case(
        "image-size", ask(image_config={"image_size": "9K"}), ask(image_config={"image_size": "512"}), IMAGE
    ),
    "reference 4.1, a ratio of another model": Case(
        "aspect-ratio-model",
        ask(image_config={"aspect_ratio": "8:1"}),
        ask(image_config={"aspect_ratio": "21:9"}),
        "gemini-3-pro-image",
    ),
    "reference 4.1, a size of another model": Case(
        "image-size-model",
        ask(image_config={"image_size": "512"}),
        ask(image_config={"image_size": "4K"}),
        "gemini-3-pro-image",
    ),
    "reference 3.1, several candidates of a picture": Case(
        "candidates-media", ask(candidate_count=2), ask(candidate_count=1), IMAGE
    ),
    "reference 3.1, a task of no model": Case(
        "task-type", embed(task_type="SUMMARY"), embed(task_type="CLUSTERING"), VECTOR
    ),
    "reference 3.1, a vector too long": Case(
        "dimensions", embed(output_dimensionality=9_999), embed(output_dimensionality=768), VECTOR
    ),
    "reference 3.1, a title nobody reads": Case(
        "title-unused", embed(title="x"), embed(title="x", task_type="RETRIEVAL_DOCUMENT"), VECTOR
    ),
    "reference 3.1, contents for an embedding": Case(
        "embedding-contents", {"contents": [turn("user"), turn("user")]}, embed(), VECTOR
    ),
    "reference 1.7, no content for an embedding": Case("no-contents", {}, embed(), VECTOR),
}
TOOLS = {
    "reference 3.1, tools that are no list": Case(
        "tools-shape", beside(tools={"google_search": {}}), beside(tools=[FUNCTION])
    ),
    "reference 3.1, a tool that is a word": Case("tools-shape", beside(tools=["search"]), beside(tools=[FUNCTION])),
    "field 23, the search of Gemini 1.5": Case(
        "search-retrieval", beside(tools=[{"google_search_retrieval": {}}]), beside(tools=[{"google_search": {}}])
    ),
    "reference 2.3, a function without a name": Case(
        "function-name", beside(tools=[{"function_declarations": [{}]}]), beside(tools=[FUNCTION])
    ),
    "field 4.10, functions and search on Gemini 2.5": Case(
        "tools-mixed", beside(tools=[FUNCTION, {"google_search": {}}]), beside(tools=[FUNCTION]), OLD
    ),
    "field 4.10, tools and JSON on Gemini 2.5": Case(
        "tools-json", structured(SCHEMA) | {"tools": [FUNCTION]}, structured(SCHEMA), OLD
    ),
    "field 23, search is billed": Case(
        "billed-google_search", beside(tools=[{"googleSearch": {}}]), beside(tools=[FUNCTION])
    ),
    "reference 2.3, maps are billed": Case("billed-google_maps", beside(tools=[{"googleMaps": {}}]), ask()),
    "reference 2.3, pages are billed": Case("billed-url_context", beside(tools=[{"url_context": {}}]), ask()),
    "reference 2.3, code is billed": Case("billed-code_execution", beside(tools=[{"code_execution": {}}]), ask()),
    "reference 2.3, files are billed": Case("billed-file_search", beside(tools=[{"file_search": {}}]), ask()),
    "field 18, cached content": Case("cache", beside(cached_content="cachedContents/a"), ask()),
    "field 18, a cache that is none": Case(
        "cache-name", beside(cached_content="a"), beside(cachedContent="cachedContents/a")
    ),
    "field 18, a cache beside what it holds": Case(
        "cache-clash",
        beside(cached_content="cachedContents/a", system_instruction=turn("user")),
        beside(cached_content="cachedContents/a"),
    ),
    "tiers, one that is none": Case("service-tier", beside(service_tier="turbo"), beside(serviceTier="Flex")),
    "tiers, one that is no word": Case("service-tier", beside(serviceTier=1), beside(service_tier=None)),
    "tiers, an enum of another name": Case(
        "service-tier", beside(service_tier="SERVICE_TIER_BATCH"), beside(service_tier="SERVICE_TIER_STANDARD")
    ),
    "tiers, flex where it is not listed": Case(
        "service-tier-model", beside(service_tier="flex"), beside(service_tier="priority"), "gemini-3.6-flash"
    ),
    "reference 1.3, one safety setting": Case("safety-shape", beside(safety_settings={}), beside(safety_settings=[])),
    "reference 1.3, a harm of no list": Case(
        "safety-category",
        beside(safety_settings=[{"category": "HATE", "threshold": "OFF"}]),
        beside(safety_settings=[{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "OFF"}]),
    ),
    "reference 1.3, a threshold of no list": Case(
        "safety-threshold",
        beside(safety_settings=[{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "NONE"}]),
        beside(safety_settings=[{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}]),
    ),
}
TURNS = {
    "reference 3.1, no contents": Case("no-contents", {}, ask()),
    "reference 3.1, no turn": Case("no-contents", said(), ask()),
    "reference 3.1, contents in a string": Case("contents-shape", beside(contents="hi"), ask()),
    "reference 3.1, a turn in a string": Case("turn-shape", said("hi"), ask()),
    "reference 3.1, parts in a string": Case("parts-shape", said({"role": "user", "parts": "hi"}), ask()),
    "reference 3.1, no parts": Case("no-parts", said({"role": "user", "parts": []}), ask()),
    "reference 3.1, a part in a string": Case("part-shape", ask("hi"), ask({"text": "hi"})),
    "reference 3.1, a part of two kinds": Case(
        "part-both", ask({"text": "hi", "inline_data": {"mime_type": "image/png", "data": PNG}}), blob(PNG)
    ),
    "reference 3.1, a part of nothing": Case("part-empty", ask({"thought": True}), ask({"text": "x", "thought": True})),
    "reference 3.1, a text that is a number": Case("text-shape", ask({"text": 7}), ask({"text": "7"})),
    "reference 6.24, a prompt of nothing": Case("text-empty", ask({"text": ""}), ask({"text": ""}, {"text": "hi"})),
    "reference 3.1, a role of another API": Case("role", said(turn("assistant")), said(turn("user"))),
    "reference 6.22, two turns without a role": Case(
        "no-role", said({"parts": [{"text": "hi"}]}, {"parts": [{"text": "hi"}]}), said({"parts": [{"text": "hi"}]})
    ),
    "issue langchain-google 1897, an answer begun for the model": Case(
        "ends-in-model",
        said(turn("user"), turn("model")),
        said(turn("user"), turn("model"), turn("user")),
        "gemini-3.6-flash",
    ),
    "field 4.10, an answer begun for an older model": Case(
        "ends-in-model", said(turn("user"), turn("model")), said(turn("user")), OLD
    ),
}
MEDIA = {
    "reference 2.3, media that are none": Case("blob-shape", ask({"inline_data": PNG}), blob(PNG)),
    "reference 2.3, media without data": Case("no-data", blob(""), blob(PNG)),
    "reference 1.3, line breaks in base64": Case("base64-blanks", blob(f"{PNG}\n{PNG}"), blob(PNG + PNG)),
    "reference 1.4, both alphabets in base64": Case("base64", blob(PNG + "-_+/"), blob(PNG + "-_-_")),
    "reference 1.4, base64 of no length": Case("base64", blob(PNG + "A"), blob(PNG + "AA==")),
    "reference 1.4, other signs in base64": Case("base64", blob("not-base64!!"), blob(PNG)),
    "reference 1.4, letters in base64": Case("base64", blob("é" * 12), blob(PNG)),
    "field 22, a data URI": Case("data-uri", blob(f"data:image/png;base64,{PNG}"), blob(PNG)),
    "field 22, a data URI as a link": Case("data-uri", linked(f"data:image/png;base64,{PNG}"), linked(URI)),
    "reference 6.22, media without a type": Case("no-mime", blob(PNG, None), blob(PNG)),
    "reference 6.22, a type nobody spells so": Case(
        "mime-spelling", blob("/9j/4AAQ", "image/jpg"), blob("/9j/4AAQ", "image/jpeg")
    ),
    "reference 6.22, a document as a picture": Case("mime-wrong", blob(PDF), blob(PDF, "application/pdf")),
    "reference 6.22, a JPEG as a PNG": Case("mime-wrong", blob("/9j/4AAQ"), blob("/9j/4AAQ", "image/jpeg")),
    "reference 6.22, a GIF": Case(
        "mime-unknown", blob("R0lGODlh", "image/gif"), blob("UklGRiQAAABXRUJQ", "image/webp")
    ),
    "reference 6.22, bytes of no type": Case("mime-refused", blob("AAAA", "application/octet-stream"), blob(PNG)),
    "reference 6.22, a type nobody lists": Case("mime-unknown", blob("AAAA", "model/gltf"), blob("AAAA", "text/csv")),
    "reference 2.1, more than a request holds": Case("inline-size", blob("A" * 20_000_004), blob("A" * 400)),
    "reference 3.1, a picture for speech": Case(
        "media-speech", speak() | {"contents": blob(PNG)["contents"]}, speak(), SPEECH
    ),
    "field 19, a file that will expire": Case("file-expiry", linked(URI), blob(PNG)),
    "field 19, a file that is none": Case("file-shape", ask({"file_data": URI}), linked(URI)),
    "field 19, a file without a link": Case("no-uri", linked(None), linked(URI)),
    "reference 2.3, a file without a type": Case("file-mime", linked(URI, mime_type=None), linked(URI)),
    "reference 7, a file of Vertex": Case("file-gs", linked("gs://b/a.png"), linked(URI)),
    "reference 2.3, a page that is not https": Case("file-http", linked("http://example.com/a.png"), linked(URI)),
    "reference 2.3, a page of another site": Case("file-foreign", linked("https://example.com/a.png"), linked(URI)),
    "reference 2.3, a file of this machine": Case("file-local", linked("/home/me/a.png"), linked(URI)),
}
WATCH = {"file_data": {"file_uri": "https://youtu.be/AAAAAAAAAAA"}}
BROUGHT = {
    "issue 16, an enum of numbers": Case(
        "schema-enum", structured({"type": "INTEGER", "enum": [1, 2]}), structured({"type": "STRING", "enum": ["1"]})
    ),
    "issue 16, an enum with nothing in it": Case(
        "schema-enum",
        structured({"type": "STRING", "enum": ["", "a"]}),
        structured({"type": "STRING", "enum": ["a"], "nullable": True}),
    ),
    "issue 16, an enum of an integer": Case(
        "schema-enum", structured({"type": "INTEGER", "enum": ["1"]}), structured({"type": "STRING", "enum": ["1"]})
    ),
    "issue 16, an object of nothing": Case(
        "schema-properties", structured({"type": "OBJECT", "properties": {}}), structured(SCHEMA)
    ),
    "issue 16, a link to YouTube": Case("youtube", ask(WATCH), linked(URI)),
    "issue 16, eleven videos": Case("videos", ask(*[WATCH] * 11), ask(*[WATCH] * 10)),
    "issue 16, a picture of another API": Case(
        "foreign-part", ask({"type": "image_url", "image_url": {"url": "https://a.example/c.png"}}), blob(PNG)
    ),
    "issue 16, a voice with a slip in it": Case(
        "voice-name",
        speak(speech_config={"voice_config": {"prebuilt_voice_config": {"voice_name": "Korre"}}}),
        speak(),
        SPEECH,
    ),
    "issue 16, the text to embed as a string": Case("content-shape", {"content": "hi"}, embed(), VECTOR),
}
CASES: dict[str, Case] = BROUGHT | PLACES | NUMBERS | THINKING | SCHEMAS | MAKING | TOOLS | TURNS | MEDIA
