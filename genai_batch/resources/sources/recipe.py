"""What a user says of a request: a prompt, media, settings, by friendly names; and its form as Gemini reads it."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from genai_batch.resources.answers import brief
from genai_batch.resources.lint import GENERATION, snake
from genai_batch.resources.lint.fields import THINKING
from genai_batch.resources.lint.repair.foreign import answer_format
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
    "logit_bias": "say in the prompt which words to use",
    "repetition_penalty": "frequency_penalty and presence_penalty are near it",
    "repeat_penalty": "frequency_penalty and presence_penalty are near it",
    "min_p": "top_p is near it",
}
"""What other generators can be told, and Gemini cannot."""
_BESIDE_PROMPT = "write its members beside the prompt, as in temperature: 0.2"
_LEVEL = "write thinking_level: low (or minimal, medium, high), or thinking_budget: 1024"
OTHER_NAMES: Mapping[str, str] = {
    **dict.fromkeys(
        ("max_completion_tokens", "max_new_tokens", "max_tokens_to_sample", "num_predict"), "write max_output_tokens"
    ),
    **dict.fromkeys(("reasoning_effort", "reasoning", "thinking", "enable_thinking"), _LEVEL),
    **dict.fromkeys(("budget_tokens", "reasoning_budget", "thinking_tokens"), "write thinking_budget: 1024"),
    **dict.fromkeys(("params", "parameters", "model_params", "model_kwargs", "inference_config"), _BESIDE_PROMPT),
    **dict.fromkeys(
        ("google_search", "web_search", "web_search_options", "google_search_retrieval"),
        "write tools: [{google_search: {}}]",
    ),
    "url_context": "write tools: [{url_context: {}}]",
    "code_execution": "write tools: [{code_execution: {}}]",
    "code_interpreter": "write tools: [{code_execution: {}}]",
    "functions": "write tools: [{function_declarations: […]}]",
    "function_declarations": "write tools: [{function_declarations: […]}]",
    "tool_choice": "write tool_config: {function_calling_config: {mode: ANY}}",
    **dict.fromkeys(("instructions", "system_message", "developer_message", "preamble"), "write system"),
    **dict.fromkeys(("messages", "chat_history"), "write prompt, or contents: [{role: user, parts: [{text: …}]}]"),
    **dict.fromkeys(("json_mode", "output_format"), "write response_mime_type: application/json"),
    **dict.fromkeys(("response_model", "output_schema"), "write response_schema"),
    **dict.fromkeys(("best_of", "num_return_sequences", "num_generations"), "write candidate_count"),
    "top_logprobs": "write response_logprobs: true and logprobs: 5",
    **dict.fromkeys(("attachments", "image_path", "image_paths", "input_image"), "write images or files"),
}
"""What other APIs call a setting, and what to write instead; a column of the user's own may have such a name too."""
MEMBER = 'config["{}"]'
"""What an unknown member of a `config` is named among the fields that are none of ours."""
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
OF_REQUEST = FIELDS - {"model", "output", "count", "request"}
"""Fields that a whole `request` holds itself, so that beside it they would not be sent."""


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
        if name != "config" or not is_object(value):
            yield name, value
            continue
        for member, setting in value.items():
            yield (str(member) if plain_name(str(member)) in known else MEMBER.format(member)), setting


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
    if recipe.voice:
        made["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": recipe.voice}}}
    made = _united(made, _as_gemini(recipe.model_extra or {}))
    defaults: dict[str, Any] = {}
    if recipe.response_schema or recipe.response_json_schema:
        defaults["responseMimeType"] = "application/json"
    if "speechConfig" in made or (model and "tts" in model):
        defaults["responseModalities"] = ["AUDIO"]
    return _merged(defaults, _united(made, recipe.generation_config or {}))


def _united(settings: dict[str, Any], more: dict[str, Any], within: str = "") -> dict[str, Any]:
    """Put settings of two places together.

    Raises:
        ValueError: both places set the same thing, and differ.
    """
    united = dict(settings)
    spelled = {snake(name): name for name in united}
    for name, value in more.items():
        mine = spelled.get(snake(name), name)
        old = united.get(mine)
        if is_object(old) and is_object(value):
            united[mine] = _united(old, value, f"{within}{snake(name)}.")
        elif old is None or old == value:
            united[mine] = value
        else:
            both = f"to {brief(str(old), 60)} and to {brief(str(value), 60)}"
            raise ValueError(f"sets {within}{snake(name)} twice, {both}; keep one of them")
    return united


def _as_gemini(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under Gemini's own names, each in its home."""
    made: dict[str, Any] = {}
    for name, value in extra.items():
        if name == "response_format" and (form := _answer_form(value)) is not None:
            made = _united(made, form)
        elif name in THINKING:
            made = _merged(made, {"thinkingConfig": {_camel(name): value}})
        elif name in _SPEECH:
            made = _merged(made, {"speechConfig": {_camel(name): value}})
        elif name in GENERATION:
            made = _merged(made, {_camel(name): value})
    return made


_FORMS: Mapping[str, str] = {"json": "json_object", "application/json": "json_object"}


def _answer_form(value: Any) -> dict[str, Any] | None:
    """Read a response_format as other APIs write it; None for one of Gemini's own.

    Raises:
        ValueError: it names a form that no answer has.
    """
    form = {"type": _FORMS.get(value.lower(), value)} if isinstance(value, str) else as_object(value)
    if not isinstance(form.get("type"), str):
        return None
    if form["type"] not in ("json_object", "json_schema", "text"):
        message = f"response_format {brief(str(form['type']), 60)!r} is no form of an answer"
        raise ValueError(f"{message}; write json or text, or response_schema for JSON of a schema")
    settings: dict[str, Any] = {}
    answer_format(form, settings)
    return settings


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


def not_restated(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What holds for all and is not said again by one, wherever each stands."""
    return _without(common, frozenset(_stated(own)))


def set_twice(fields: Mapping[str, Any], others: Mapping[str, Any]) -> str | None:
    """Name a field that both set, each to something else, wherever it stands."""
    here, there = dict(_flat(fields)), dict(_flat(others))
    return next((name for name, value in here.items() if there.get(name, value) != value), None)


def _flat(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        plain = snake(name)
        if plain in _CONFIGS and is_object(value):
            yield from _flat(value)
        else:
            yield plain, value


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
