"""What a model makes - text, pictures, speech, vectors - and the settings that go with it."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from genai_batch.resources.lint.fault import Fault, doubt, fault
from genai_batch.resources.lint.fields import IMAGE, SPEECH, named, unknown
from genai_batch.resources.models import Model
from genai_batch.resources.untyped import as_list, as_object, is_list, is_object, kind_of, number_in

_MODALITIES = ("TEXT", "IMAGE", "AUDIO")
_RATIOS = frozenset(
    "1:1 2:3 3:2 3:4 4:3 4:5 5:4 9:16 16:9 21:9 1:4 4:1 1:8 8:1".split()  # noqa: SIM905 - reads better than a list
)
SIZES = ("512", "0.5K", "1K", "2K", "4K")
RESOLUTIONS = tuple(f"MEDIA_RESOLUTION_{level}" for level in ("LOW", "MEDIUM", "HIGH", "ULTRA_HIGH", "UNSPECIFIED"))
_TASKS = frozenset({
    "TASK_TYPE_UNSPECIFIED", "RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT", "SEMANTIC_SIMILARITY", "CLASSIFICATION",
    "CLUSTERING", "QUESTION_ANSWERING", "FACT_VERIFICATION", "CODE_RETRIEVAL_QUERY",
})  # fmt: skip
_VECTOR = 3_072
_SPEAKERS = 2
VOICES = frozenset(
    {
        "achernar",
        "achird",
        "algenib",
        "algieba",
        "alnilam",
        "aoede",
        "autonoe",
        "callirrhoe",
        "charon",
        "despina",
        "enceladus",
        "erinome",
        "fenrir",
        "gacrux",
        "iapetus",
        "kore",
        "laomedeia",
        "leda",
        "orus",
        "puck",
        "pulcherrima",
        "rasalgethi",
        "sadachbia",
        "sadaltager",
        "schedar",
        "sulafat",
        "umbriel",
        "vindemiatrix",
        "zephyr",
        "zubenelgenubi",
    }
)
"""Prebuilt voices of Gemini's speech page."""
_NEAR = 0.75


def modalities(settings: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Judge `response_modalities` against the kind of the model."""
    given = settings.get("response_modalities")
    if given is not None and not is_list(given):
        yield fault("modality-shape", f"response_modalities is {kind_of(given)}", 'write ["TEXT"]')
        return
    kinds = [str(kind).upper() for kind in as_list(given)]
    if wrong := [kind for kind in kinds if kind not in _MODALITIES]:
        fix = f"use {', '.join(_MODALITIES)}"
        yield fault("modality", f"no such response modality {wrong[0][:30]!r}", fix)
    elif model.kind == "speech" and kinds != ["AUDIO"]:
        said = f"{model.name} answers in AUDIO only" if kinds else f"{model.name} needs response_modalities"
        yield fault("modality-speech", said, 'write "response_modalities": ["AUDIO"]')
    elif model.kind == "image" and "AUDIO" in kinds:
        yield doubt("modality-image", f"{model.name} makes no sound", 'write ["TEXT", "IMAGE"]')
    elif model.kind == "image" and kinds and "IMAGE" not in kinds:
        yield doubt("modality-image", f"{model.name} is asked for no picture", 'write ["TEXT", "IMAGE"]')
    elif model.kind == "text" and (more := [kind for kind in kinds if kind != "TEXT"]):
        yield doubt("modality-text", f"{model.name} writes text; it may refuse {more[0]}", _instead(more[0]))


def _instead(kind: str) -> str:
    return "use an image model" if kind == "IMAGE" else "use a tts model"


def speech(settings: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Judge `speech_config`."""
    config = settings.get("speech_config")
    if config is None:
        if model.kind == "speech":
            fix = 'add "speech_config": {"voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}}}'
            yield doubt("voice", "no speech_config: the voice is Gemini's choice, row by row", fix)
        return
    if model.kind != "speech" and "AUDIO" not in [
        str(kind).upper() for kind in as_list(settings.get("response_modalities"))
    ]:
        yield doubt("voice-unused", "speech_config has no effect without AUDIO", "remove it, or use a tts model")
    if not is_object(config):
        yield fault("speech-shape", f"speech_config is {kind_of(config)}", 'write {"voice_config": …}')
        return
    yield from unknown(config, SPEECH, "speech_config")
    yield from _voices(named(config))


def _voices(config: dict[str, Any]) -> Iterator[Fault]:
    yield from _voice(config.get("voice_config"))
    several = config.get("multi_speaker_voice_config")
    if several is None:
        return
    if config.get("voice_config") is not None:
        yield fault("voice-both", "voice_config and multi_speaker_voice_config exclude each other", "keep one")
    speakers = as_list(named(as_object(several)).get("speaker_voice_configs"))
    for speaker in speakers:
        yield from _voice(named(as_object(speaker)).get("voice_config"))
    if len(speakers) > _SPEAKERS:
        yield doubt("speakers", f"has {len(speakers)} speakers", f"models have taken {_SPEAKERS} at most")


def _voice(config: Any) -> Iterator[Fault]:
    """Judge the name of a prebuilt voice."""
    voice = named(as_object(named(as_object(config)).get("prebuilt_voice_config"))).get("voice_name")
    if not isinstance(voice, str) or voice.lower() in VOICES:
        return
    if near := get_close_matches(voice.lower(), VOICES, 1, _NEAR):
        yield fault("voice-name", f"no such voice {voice[:40]!r}", f"did you mean {near[0].title()!r}?")
    else:
        yield doubt("voice-name", f"the voice {voice[:40]!r} is not known, and may be refused", "use Kore, Puck, …")


def spoken(request: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Judge what a model of speech has no use for."""
    if model.kind == "speech":
        for name in ("system_instruction", "tools"):
            if request.get(name) is not None:
                fix = "write it into the text" if name == "system_instruction" else "remove it"
                yield fault("speech-extra", f"{model.name} takes no {name}", fix)


def pictures(settings: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Judge `image_config` and `media_resolution`."""
    level = settings.get("media_resolution")
    if level is not None and str(level).upper() not in RESOLUTIONS:
        fix = "use MEDIA_RESOLUTION_LOW, _MEDIUM or _HIGH"
        yield fault("media-resolution", f"no such media_resolution {str(level)[:40]!r}", fix)
    if (config := settings.get("image_config")) is None:
        return
    if not is_object(config):
        yield fault("image-shape", f"image_config is {kind_of(config)}", 'write {"aspect_ratio": "1:1"}')
        return
    if model.kind != "image":
        yield doubt("image-unused", f"{model.name} makes no pictures; image_config has no effect", "use an image model")
    yield from unknown(config, IMAGE, "image_config")
    yield from _picture(named(config), model)


def _picture(config: dict[str, Any], model: Model) -> Iterator[Fault]:
    ratio, size = config.get("aspect_ratio"), config.get("image_size")
    if model.ratios and ratio in _RATIOS.difference(model.ratios):
        said = f"{model.name} is not known to make pictures of aspect_ratio {ratio}"
        yield doubt("aspect-ratio-model", said, f"use {_either(model.ratios)}, or another image model")
    if model.sizes and size in SIZES and size not in model.sizes:
        said = f"{model.name} is not known to make pictures of image_size {size}"
        yield doubt("image-size-model", said, f"use {_either(model.sizes)}, or another image model")
    if ratio is not None and not re.fullmatch(r"\d{1,2}:\d{1,2}", str(ratio)):
        yield fault("aspect-ratio", f"no such aspect_ratio {str(ratio)[:30]!r}", 'write it like "16:9"')
    elif ratio is not None and ratio not in _RATIOS:
        yield doubt("aspect-ratio", f"aspect_ratio {ratio} may be refused", "use 1:1, 2:3, 3:2, 3:4, 4:3, 9:16 or 16:9")
    if size is not None and size not in SIZES:
        upper = str(size).upper()
        if upper in SIZES:
            yield fault("image-size", f"no such image_size {str(size)[:30]!r}", f"write {upper!r}")
        else:
            yield doubt("image-size", f"image_size {str(size)[:30]!r} may be refused", "use 1K, 2K or 4K")


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def vectors(request: dict[str, Any]) -> Iterator[Fault]:
    """Judge what an embedding request sets."""
    task, size = request.get("task_type"), request.get("output_dimensionality")
    if task is not None and str(task).upper() not in _TASKS:
        yield fault("task-type", f"no such task_type {str(task)[:40]!r}", "use RETRIEVAL_DOCUMENT, CLUSTERING, …")
    if size is not None and not 1 <= (number_in(size) or 0) <= _VECTOR:
        yield fault("dimensions", f"output_dimensionality is {str(size)[:30]}", f"use 1 to {_VECTOR:,}")
    if request.get("title") is not None and str(task).upper() != "RETRIEVAL_DOCUMENT":
        yield doubt("title-unused", "title counts for task_type RETRIEVAL_DOCUMENT only", "set that, or leave it out")
