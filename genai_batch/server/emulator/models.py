"""The model catalogue: what exists, what it can do, how much of it may be enqueued."""

from dataclasses import dataclass
from typing import Literal

from .wire import ApiError, Object

Family = Literal["text", "image", "audio", "embedding", "live"]
Allowance = tuple[int, int, int]

M = 1_000_000
FLASH: Allowance = (3 * M, 400 * M, 1000 * M)
LITE: Allowance = (10 * M, 500 * M, 1000 * M)
PRO: Allowance = (5 * M, 500 * M, 1000 * M)
IMAGE: Allowance = (1 * M, 250 * M, 750 * M)
SPEECH: Allowance = (100_000, 100_000, 4 * M)
VECTORS: Allowance = (500_000, 5 * M, 10 * M)

METHODS: dict[Family, tuple[str, ...]] = {
    "text": ("generateContent", "countTokens", "createCachedContent", "batchGenerateContent"),
    "image": ("generateContent", "countTokens", "batchGenerateContent"),
    "audio": ("generateContent", "countTokens", "batchGenerateContent"),
    "embedding": ("embedContent", "countTokens", "asyncBatchEmbedContent"),
    "live": ("bidiGenerateContent", "countTokens"),
}
LIMITS: dict[Family, tuple[int, int]] = {
    "text": (1_048_576, 65_536),
    "image": (65_536, 32_768),
    "audio": (8_192, 16_384),
    "embedding": (8_192, 1),
    "live": (131_072, 8_192),
}


@dataclass(frozen=True)
class Model:
    """One model."""

    id: str
    family: Family = "text"
    allowance: Allowance = FLASH
    thinks: bool = True

    def resource(self) -> Object:
        """The model as `models.get` shows it."""
        inputs, outputs = LIMITS[self.family]
        return {
            "name": f"models/{self.id}",
            "version": "emulator",
            "displayName": self.id.replace("-", " ").title(),
            "description": "Emulated: answers are made up locally and no model is called.",
            "inputTokenLimit": inputs,
            "outputTokenLimit": outputs,
            "supportedGenerationMethods": list(METHODS[self.family]),
            "thinking": self.thinks,
        }


CATALOGUE = {
    model.id: model
    for model in (
        Model("gemini-3.8-flash"),
        Model("gemini-3.7-flash"),
        Model("gemini-3.6-flash"),
        Model("gemini-3.5-flash"),
        Model("gemini-3.5-flash-lite", allowance=LITE),
        Model("gemini-4-argon", allowance=PRO),
        Model("gemini-3.1-pro-preview", allowance=PRO),
        Model("gemini-3.1-flash-lite", allowance=LITE),
        Model("gemini-3-flash-preview"),
        Model("gemini-2.5-pro", allowance=PRO),
        Model("gemini-2.5-flash"),
        Model("gemini-2.5-flash-lite", allowance=LITE, thinks=False),
        Model("gemini-nano-banana-2.1", "image", IMAGE),
        Model("gemini-3-pro-image", "image", (2 * M, 270 * M, 1000 * M)),
        Model("gemini-3.1-flash-image", "image", IMAGE),
        Model("gemini-3.1-flash-lite-image", "image", IMAGE, thinks=False),
        Model("gemini-3.8-flash-tts", "audio", SPEECH, thinks=False),
        Model("gemini-3.8-flash-lite-tts", "audio", SPEECH, thinks=False),
        Model("gemini-3.1-flash-tts-preview", "audio", SPEECH, thinks=False),
        Model("gemini-2.5-flash-preview-tts", "audio", SPEECH, thinks=False),
        Model("gemini-2.5-flash-tts", "audio", SPEECH, thinks=False),
        Model("gemini-2.5-pro-preview-tts", "audio", (25_000, 100_000, M), thinks=False),
        Model("gemini-embedding-2", "embedding", VECTORS, thinks=False),
        Model("gemini-embedding-001", "embedding", VECTORS, thinks=False),
        Model("gemini-3.8-flash-live", "live", thinks=False),
    )
}
ALIASES = {
    "gemini-flash-latest": "gemini-3.8-flash",
    "gemini-flash-lite-latest": "gemini-3.5-flash-lite",
    "gemini-pro-latest": "gemini-3.1-pro-preview",
}


def find_model(name: str, method: str | None = None, version: str = "v1beta") -> Model:
    """The model of a path; 404 when it does not exist or cannot do what is asked."""
    bare = name.removeprefix("models/")
    model = CATALOGUE.get(ALIASES.get(bare, bare))
    if model is None or (method and method not in METHODS[model.family]):
        full = name if "/" in name else f"models/{name}"
        raise ApiError(
            404,
            f"{full} is not found for API version {version}, or is not supported for {method or 'GetModel'}. "
            "Call ListModels to see the list of available models and their supported methods.",
        )
    return model
