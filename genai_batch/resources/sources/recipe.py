"""What a user says of a request: a prompt, media, settings, by friendly names; and its form as Gemini reads it."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from genai_batch.resources.lint import GENERATION, snake
from genai_batch.resources.lint.fields import THINKING
from genai_batch.resources.untyped import as_object, is_object, items

ALIASES: Mapping[str, str] = {
    "n": "count", "image": "images", "image_url": "images", "image_urls": "images", "input_images": "images",
    "file": "files", "media": "files", "video_url": "files", "audio_url": "files", "video": "files", "audio": "files",
    "system_instruction": "system", "system_prompt": "system", "schema": "response_schema",
    "max_tokens": "max_output_tokens", "json_schema": "response_json_schema", "stop": "stop_sequences",
    "voice_id": "voice", "out": "output",
    "output_path": "output", "modalities": "response_modalities", "resolution": "image_size",
}  # fmt: skip
"""Other names that mean the same, in the skill's manifests and elsewhere."""
UNABLE: Mapping[str, str] = {
    "negative_prompt": "say in the prompt what to leave out",
    "duration": "say it in the prompt",
    "style": "say it in the prompt",
    "strength": "say it in the prompt",
    "guidance_scale": "say it in the prompt",
    "fps": "Gemini makes no video here",
}
"""What other generators can be told, and Gemini cannot."""
Texts = Annotated[list[str], BeforeValidator(items)]
_GENERATION = {
    "temperature": "temperature", "top_p": "topP", "top_k": "topK", "max_output_tokens": "maxOutputTokens",
    "seed": "seed", "stop_sequences": "stopSequences", "candidate_count": "candidateCount",
    "presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty",
    "response_mime_type": "responseMimeType", "response_schema": "responseSchema",
    "response_json_schema": "responseJsonSchema", "response_modalities": "responseModalities",
    "media_resolution": "mediaResolution",
}  # fmt: skip
_NESTED = {
    "thinking_level": ("thinkingConfig", "thinkingLevel"), "thinking_budget": ("thinkingConfig", "thinkingBudget"),
    "aspect_ratio": ("imageConfig", "aspectRatio"), "image_size": ("imageConfig", "imageSize"),
}  # fmt: skip
_BESIDE = {
    "tools": "tools", "tool_config": "toolConfig", "safety_settings": "safetySettings",
    "cached_content": "cachedContent",
}  # fmt: skip
_EMBEDDED = {"task_type": "taskType", "output_dimensionality": "outputDimensionality"}


def _system_text(value: Any) -> Any:
    """Read a system instruction in the form of Gemini, a content of text parts, as its text."""
    texts = [as_object(part).get("text") for part in items(as_object(value).get("parts", []))]
    if texts and all(isinstance(text, str) for text in texts):
        return "\n".join(map(str, texts))
    return value


class Recipe(BaseModel):
    """What a request is made of. In `defaults`, and beside `data`, `folder` or `job_id`, texts are templates.

    Other settings that Gemini has may stand here too, under its own names in either spelling (`thinkingConfig`,
    `speech_config`, `service_tier`).
    """

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    model: str | None = None
    prompt: Annotated[str | None, Field(description="file://PATH or @PATH: the text of that file")] = None
    prompt_file: Annotated[str | None, Field(description="The same, by its path alone")] = None
    contents: Annotated[list[Any] | str | None, Field(description="Instead of prompt: turns as Gemini reads them")] = (
        None
    )
    request: Annotated[dict[str, Any] | None, Field(description="Instead of all: a whole GenerateContentRequest")] = (
        None
    )
    system: Annotated[str | None, BeforeValidator(_system_text), Field(description="System instruction")] = None
    images: Annotated[Texts, Field(description="Paths beside the manifest, https:// or files/ URIs")] = []
    files: Annotated[Texts, Field(description="The same, of any kind: PDF, sound, video, text")] = []
    output: Annotated[str | None, Field(description="Path of the answer in the folder of results")] = None
    count: Annotated[int, Field(ge=1, le=1_000, description="Variants, with a seed each; keys get -1, -2, …")] = 1
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_output_tokens: int | None = None
    seed: int | None = None
    stop_sequences: list[str] | None = None
    candidate_count: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_mime_type: str | None = None
    response_schema: Annotated[dict[str, Any] | None, Field(description="Also `schema`; the answer is JSON")] = None
    response_json_schema: dict[str, Any] | None = None
    response_modalities: list[str] | None = None
    media_resolution: str | None = None
    thinking_level: str | None = None
    thinking_budget: int | None = None
    aspect_ratio: Annotated[str | None, Field(description="Of a picture, like 16:9")] = None
    image_size: str | None = None
    voice: Annotated[str | None, Field(description="Name of a prebuilt voice; the answer is sound")] = None
    tools: list[Any] | None = None
    tool_config: dict[str, Any] | None = None
    safety_settings: list[Any] | None = None
    cached_content: str | None = None
    task_type: Annotated[str | None, Field(description="Of an embedding")] = None
    output_dimensionality: int | None = None
    generation_config: Annotated[dict[str, Any] | None, Field(description="Anything else, as Gemini reads it")] = None


_SPEECH = frozenset({"voice_config", "multi_speaker_voice_config"})
_OF_REQUEST: Mapping[str, type] = {"service_tier": str, "labels": dict, "store": bool}
"""Fields of a request itself; something else under such a name is a column of the user's."""
GEMINI = (GENERATION | THINKING | _SPEECH | _OF_REQUEST.keys()) - Recipe.model_fields.keys()
"""Settings of Gemini that are sent as they are written."""
FIELDS = frozenset(Recipe.model_fields) | GEMINI


def plain_name(name: str) -> str:
    """The name of a field here, whatever its spelling."""
    snaked = snake(name)
    return ALIASES.get(snaked, snaked)


def parted(given: Mapping[str, Any], known: frozenset[str]) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    """Part fields into those that are known, by their plain names, and others; and name one that stands twice."""
    ours: dict[str, Any] = {}
    others: dict[str, Any] = {}
    twice: str | None = None
    for name, value in _spread(given, known):
        plain = plain_name(str(name))
        if plain not in known or not isinstance(value, _OF_REQUEST.get(plain, object)):
            others[str(name)] = value
        elif plain not in ours:
            ours[plain] = value
        elif plain in ("images", "files"):
            ours[plain] = [*items(ours[plain]), *items(value)]
        else:
            twice = twice or str(name)
    return ours, others, twice


def _spread(given: Mapping[str, Any], known: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """Fields one by one; those inside a `config`, which is how the SDK groups settings, as if they stood beside it."""
    for name, value in given.items():
        if name == "config" and is_object(value) and value and all(plain_name(field) in known for field in value):
            yield from value.items()
        else:
            yield name, value


def request_of(recipe: Recipe, parts: list[dict[str, Any]], model: str | None) -> dict[str, Any]:
    """The request as Gemini reads it; `parts` are its media, which come before the words.

    Raises:
        ValueError: it says nothing, or says it twice.
    """
    if recipe.request is not None:
        if recipe.prompt or recipe.contents or parts:
            raise ValueError("has a request and a prompt, contents or files beside it")
        return recipe.request
    if embeds(model):
        return {"content": {"parts": _embedded(recipe, parts)}, **_of(recipe, _EMBEDDED)}
    made: dict[str, Any] = {"contents": _contents(recipe, parts)}
    if recipe.system:
        made["systemInstruction"] = {"parts": [{"text": recipe.system}]}
    made |= _of(recipe, _BESIDE)
    extra = recipe.model_extra or {}
    made |= {_camel(name): extra[name] for name in _OF_REQUEST if name in extra}
    settings = _settings(recipe, model)
    return made | ({"generationConfig": settings} if settings else {})


def embeds(model: str | None) -> bool:
    """Whether requests to a model are for embeddings."""
    return model is not None and "embedding" in model


def _embedded(recipe: Recipe, parts: list[dict[str, Any]]) -> list[Any]:
    """The parts of the one content that an embedding is of; a text may stand for a turn."""
    turns = _contents(recipe, parts)
    if len(turns) != 1:
        raise ValueError(f"has {len(turns)} contents; an embedding is of one, so make an item of each")
    if isinstance(turns[0], str):
        return [{"text": turns[0]}]
    turn = as_object(turns[0])
    return items(turn.get("parts", turn))


def _contents(recipe: Recipe, parts: list[dict[str, Any]]) -> list[Any]:
    if recipe.prompt and recipe.contents:
        raise ValueError("has both a prompt and contents")
    said = recipe.contents or recipe.prompt
    if isinstance(said, list):
        return _joined(said, parts)
    if not (said and said.strip()) and not parts:
        raise ValueError("has no prompt")
    return [{"role": "user", "parts": [*parts, *([{"text": said}] if said and said.strip() else [])]}]


def _joined(turns: list[Any], parts: list[dict[str, Any]]) -> list[Any]:
    """Put the media before the words of the last turn."""
    last = {"parts": [{"text": turns[-1]}]} if isinstance(turns[-1], str) else as_object(turns[-1])
    if not parts:
        return turns
    if not last:
        raise ValueError("has files, and contents whose last turn is no object")
    return [*turns[:-1], {**last, "parts": [*parts, *items(last.get("parts"))]}]


def _of(recipe: Recipe, names: Mapping[str, str]) -> dict[str, Any]:
    return {wire: value for name, wire in names.items() if (value := getattr(recipe, name)) is not None}


def _settings(recipe: Recipe, model: str | None) -> dict[str, Any]:
    made = _of(recipe, _GENERATION)
    for name, (home, wire) in _NESTED.items():
        if (value := getattr(recipe, name)) is not None:
            made.setdefault(home, {})[wire] = value
    if recipe.response_schema or recipe.response_json_schema:
        made.setdefault("responseMimeType", "application/json")
    if recipe.voice:
        made["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": recipe.voice}}}
    made = _merged(made, _as_gemini(recipe.model_extra or {}))
    if "speechConfig" in made or (model and "tts" in model):
        made.setdefault("responseModalities", ["AUDIO"])
    return _merged(made, recipe.generation_config or {})


def _as_gemini(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under Gemini's own names, each in its home."""
    made: dict[str, Any] = {}
    for name, value in extra.items():
        if name in THINKING:
            made = _merged(made, {"thinkingConfig": {_camel(name): value}})
        elif name in _SPEECH:
            made = _merged(made, {"speechConfig": {_camel(name): value}})
        elif name in GENERATION:
            made = _merged(made, {_camel(name): value})
    return made


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _merged(made: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Put settings over others at every level, in whichever spelling they come."""
    made = dict(made)
    spelled = {snake(name): name for name in made}
    for name, value in more.items():
        mine = spelled.get(snake(name), name)
        old = made.get(mine)
        made[mine] = _merged(old, value) if is_object(old) and is_object(value) else value
    return made


_CONFIGS = frozenset({"generation_config", "thinking_config", "speech_config", "image_config"})
_EXCLUSIVE: Mapping[str, str] = {
    "voice_config": "voice",
    "multi_speaker_voice_config": "voice",
    "thinking_level": "thinking_budget",
}
"""Settings of which a request has one: who states the second replaces the first."""


def over(own: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """Put what an item says over what holds for all, wherever each stands: flat, or inside a config of Gemini's."""
    if not own:
        return dict(common)
    left = _without(common, frozenset(_stated(own)))
    both = {name for name in _CONFIGS if is_object(own.get(name)) and is_object(left.get(name))}
    return {**left, **own, **{name: _merged(left[name], own[name]) for name in both}}


def _stated(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        plain = snake(name)
        if plain in _CONFIGS and is_object(value):
            yield from _stated(value)
        else:
            yield _EXCLUSIVE.get(plain, plain)


def _without(fields: Mapping[str, Any], stated: frozenset[str]) -> dict[str, Any]:
    left: dict[str, Any] = {}
    for name, value in fields.items():
        plain = snake(name)
        if plain in _CONFIGS and is_object(value):
            if inner := _without(value, stated):
                left[name] = inner
        elif _EXCLUSIVE.get(plain, plain) not in stated:
            left[name] = value
    return left
