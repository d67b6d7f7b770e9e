"""Deterministic answers: the same request to the same model gets the same answer, in every process and run."""

import re
from collections import Counter
from hashlib import sha256
from typing import Any

from .drawn import Drawn
from .media import AUDIO_MIME_TYPE, photograph, picture, sound, vector
from .models import LIMITS, Model
from .outcomes import OK, Outcome
from .plan import prompt_of
from .schema_answers import SchemaAnswer, off_schema_answer, schema_answer
from .tokens import details, prompt_tokens, text_tokens
from .wire import Object, as_list, as_object, canonical

WORDS = [
    "amber",
    "bridge",
    "candle",
    "delta",
    "ember",
    "field",
    "garden",
    "harbor",
    "island",
    "jasper",
    "kernel",
    "lantern",
    "meadow",
    "north",
    "orchard",
    "paper",
    "quarry",
    "river",
    "signal",
    "timber",
    "upland",
    "valley",
    "willow",
    "xylem",
    "yonder",
    "zephyr",
]
LOOP = "The mug is white and the handle is white. "
DISOBEYS = "[emulator] Here is what you asked for:\n```json\n{}\n```"
TOLD_TO_END = re.compile(r"End the answer with .{0,80}(\[[^\[\]]{1,40}\])\s*\Z")
AUDIO_TOKENS = 32
PHOTOGRAPHERS = {"gemini-3-pro-image"}
IMAGE_TOKENS = {"512": 747, "0.5K": 747, "1K": 1120, "2K": 1680, "4K": 2520}
NOT_DRAWN = Drawn()
Part = dict[str, Any]


def answer(model: Model, request: Object, outcome: Outcome = OK, drawn: Drawn = NOT_DRAWN) -> Object:
    """A GenerateContentResponse."""
    seed = _seed(model, request)
    base: Object = {"modelVersion": f"{model.id}-emulator", "responseId": seed.hex()[:22]}
    prompt = prompt_tokens(request, model)
    if outcome.kind == "prompt_blocked":
        return {"promptFeedback": {"blockReason": outcome.block_reason}, "usageMetadata": _usage(prompt)} | base
    if outcome.kind == "empty":
        return {"usageMetadata": _usage(prompt)} | base
    candidates, output, thoughts = _candidates(model, request, outcome, drawn, seed)
    if queries := drawn.queries(seed, request):
        candidates[0]["groundingMetadata"] = {"webSearchQueries": queries}
    candidates[0] |= outcome.candidate or {}
    return {"candidates": candidates, "usageMetadata": _usage(prompt, output, thoughts)} | base


def embedding(model: Model, request: Object) -> Object:
    """An embedding and its token count, as a batch writes it."""
    dimensions = int(request.get("outputDimensionality") or 3072)
    seed = _seed(model, request)
    count = sum(prompt_tokens(request, model).values())
    return {"tokenCount": str(count), "embedding": {"values": vector(seed, dimensions)}}


def _seed(model: Model, request: Object) -> bytes:
    asked = {name: value for name, value in request.items() if name not in ("model", "serviceTier")}
    return sha256(model.id.encode() + b"\0" + canonical(asked)).digest()


def _candidates(
    model: Model, request: Object, outcome: Outcome, drawn: Drawn, seed: bytes
) -> tuple[list[Object], Counter[str], int]:
    config = as_object(request.get("generationConfig"))
    limit = _limit(model, config)
    found: list[Object] = []
    output: Counter[str] = Counter()
    for index in range(int(config.get("candidateCount") or 1)):
        own = sha256(seed + bytes([index])).digest() if index else seed
        parts, used = _parts(model, request, outcome, drawn, own)
        parts, used, cut = _cut(parts, used, limit, outcome)
        output += used
        reason = "MAX_TOKENS" if cut and outcome.finish_reason == "STOP" else outcome.finish_reason
        content: Object = {"parts": parts, "role": "model"} if parts else {"role": "model"}
        found.append({"content": content, "finishReason": reason, "index": index} | _logprobs(config, parts, own))
    wanted = drawn.thoughts(seed, config)
    thoughts = _thoughts(model, config, 40 + seed[2] if wanted is None else wanted, max(0, limit - output["TEXT"]))
    if thoughts and as_object(config.get("thinkingConfig")).get("includeThoughts"):
        thought = {"text": "[emulator] A thought was asked for; none was had.", "thought": True}
        found[0]["content"]["parts"] = [thought, *as_list(found[0]["content"].get("parts"))]
    return found, output, thoughts


def _logprobs(config: Object, parts: list[Part], seed: bytes) -> Object:
    """What a candidate says of how likely its first words were, where that was asked for."""
    words = " ".join(str(part.get("text", "")) for part in parts).split()[:8]
    if not config.get("responseLogprobs") or not words:
        return {}
    chosen: list[Object] = [
        {"token": word, "tokenId": seed[n], "logProbability": -seed[n] / 256} for n, word in enumerate(words)
    ]
    others = int(config.get("logprobs") or 0)
    top = [{"candidates": [one, *({**one, "token": f"other{n}", "logProbability": -9.0} for n in range(1, others))]}
           for one in chosen]  # fmt: skip
    result: Object = {"chosenCandidates": chosen} | ({"topCandidates": top} if others else {})
    return {"avgLogprobs": -sum(seed[: len(words)]) / 256 / len(words), "logprobsResult": result}


def _limit(model: Model, config: Object) -> int:
    """Tokens that one candidate may have."""
    return int(config.get("maxOutputTokens") or LIMITS[model.family][1])


def _parts(
    model: Model, request: Object, outcome: Outcome, drawn: Drawn, seed: bytes
) -> tuple[list[Part], Counter[str]]:
    config = as_object(request.get("generationConfig"))
    modalities = {str(one).upper() for one in as_list(config.get("responseModalities"))}
    if outcome.kind in ("blocked", "no_parts"):
        return [], Counter()
    orders = bool(modalities & {"AUDIO", "IMAGE"}) or (model.family in ("audio", "image") and not modalities)
    if orders and outcome.text is not None:
        return [{"text": outcome.text}], Counter(TEXT=text_tokens(outcome.text))
    if "AUDIO" in modalities or (model.family == "audio" and not modalities):
        return [_inline(AUDIO_MIME_TYPE, sound(seed))], Counter(AUDIO=min(AUDIO_TOKENS, _limit(model, config)))
    if "IMAGE" in modalities or (model.family == "image" and not modalities):
        size = str(as_object(config.get("imageConfig")).get("imageSize", "1K"))
        text = _text(model, request, seed)
        image = [_image(model, seed, outcome.output_chars)]
        counts = Counter(IMAGE=IMAGE_TOKENS.get(size, 1120))
        said = [{"text": text}] if "TEXT" in modalities or not modalities else []
        return said + image, counts + (Counter(TEXT=text_tokens(text)) if said else Counter[str]())
    call = _function_call(request, seed)
    if call:
        return [{"functionCall": call}], Counter(TEXT=text_tokens(canonical(call).decode()))
    text = _answer_text(model, request, outcome, drawn, seed)
    return [{"text": text}], Counter(TEXT=text_tokens(text))


def _image(model: Model, seed: bytes, chars: int | None) -> Part:
    """Some models answer with JPEG, whatever was asked."""
    if model.id in PHOTOGRAPHERS:
        return _inline("image/jpeg", photograph(seed, chars))
    return _inline("image/png", picture(seed, chars))


def _answer_text(model: Model, request: Object, outcome: Outcome, drawn: Drawn, seed: bytes) -> str:
    if outcome.text is not None:
        return outcome.text
    config = as_object(request.get("generationConfig"))
    mime_type = str(config.get("responseMimeType", ""))
    schema = as_object(config.get("responseSchema") or config.get("responseJsonSchema"))
    if outcome.kind == "disobeys":
        return DISOBEYS
    if outcome.kind == "loop":
        return "[emulator] Page 1. " + LOOP * ((outcome.output_chars or _limit(model, config) * 4) // len(LOOP))
    if schema and (mime_type in ("application/json", "text/x.enum") or "responseJsonSchema" in config):
        if outcome.kind == "off_schema":
            return off_schema_answer(schema, seed)
        text = schema_answer(schema, seed)
        return text.strip('"') if mime_type == "text/x.enum" else text
    if mime_type == "application/json":
        return f'{{"emulator": "no model was called", "answer": "[emulator] {_words(seed, 8)}"}}'
    text = _text(model, request, seed)
    tokens = drawn.output(seed)
    chars = outcome.output_chars or (tokens and tokens * 4)
    text = _filled(text, seed, chars) if chars else text
    told = TOLD_TO_END.search(prompt_of(request))
    return f"{text}\n{told[1]}" if told else text


def _filled(text: str, seed: bytes, chars: int) -> str:
    filler = _words(seed, 200) + " "
    return f"{text} {filler * (chars // len(filler) + 1)}"[:chars]


def _text(model: Model, request: Object, seed: bytes) -> str:
    asked = " ".join(prompt_of(request).split(" "))
    head = f"[emulator] No model was called; {model.id} would have answered here. "
    echo = f'The request began: "{asked[:80]}". ' if asked else ""  # as it came: a model may repeat anything
    return head + echo + _words(seed, 12 + seed[1] % 24).capitalize() + "."


def _words(seed: bytes, count: int) -> str:
    return " ".join(WORDS[seed[i % len(seed)] * (i // len(seed) + 7) % len(WORDS)] for i in range(count))


def _cut(parts: list[Part], used: Counter[str], limit: int, outcome: Outcome) -> tuple[list[Part], Counter[str], bool]:
    forced, given = outcome.kind == "max_tokens", outcome.output_chars or outcome.text is not None
    if not parts or "text" not in parts[0] or not (forced or (used["TEXT"] > limit and not given)):
        return parts, used, False
    text = parts[0]["text"]
    kept = text[: len(text) // 2 if forced else limit * 4]
    counts = used | Counter(TEXT=0)
    counts["TEXT"] = text_tokens(kept)
    return [{"text": kept}, *parts[1:]], counts, True


def _thoughts(model: Model, config: Object, wanted: int, room: int) -> int:
    thinking = as_object(config.get("thinkingConfig"))
    budget = thinking.get("thinkingBudget")
    if not model.thinks or budget == 0 or str(thinking.get("thinkingLevel", "")).lower() in ("none", "off"):
        return 0
    most = room if budget is None or int(budget) < 0 else min(room, int(budget))
    return min(wanted, most)


def _function_call(request: Object, seed: bytes) -> Object | None:
    config = as_object(as_object(request.get("toolConfig")).get("functionCallingConfig"))
    if str(config.get("mode", "")).upper() != "ANY":
        return None
    declared = [as_object(one) for tool in as_list(request.get("tools"))
                for one in as_list(as_object(tool).get("functionDeclarations"))]  # fmt: skip
    allowed = as_list(config.get("allowedFunctionNames"))
    chosen = next((one for one in declared if not allowed or one.get("name") in allowed), None)
    if chosen is None:
        return None
    schema = as_object(chosen.get("parameters") or chosen.get("parametersJsonSchema"))
    return {"name": chosen.get("name", ""), "args": SchemaAnswer(schema, seed).value() if schema else {}}


def _usage(prompt: Counter[str], output: Counter[str] | None = None, thoughts: int = 0) -> Object:
    made = +(output or Counter())
    usage: Object = {
        "promptTokenCount": prompt.total(),
        "candidatesTokenCount": made.total(),
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": prompt.total() + made.total() + thoughts,
        "promptTokensDetails": details(prompt),
        "candidatesTokensDetails": details(made),
    }
    return {name: value for name, value in usage.items() if value} | {"serviceTier": "SERVICE_TIER_STANDARD"}


def _inline(mime_type: str, data: str) -> Part:
    return {"inlineData": {"mimeType": mime_type, "data": data}}
