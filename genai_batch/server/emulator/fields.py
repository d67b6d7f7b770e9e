"""The fields of a request, message by message, as data.

`name:kind`, where a kind is `string`, `bool`, `int`, `number`, `bytes`, `enum`, `any` or a message; `*` repeats it and
`%` makes it a map. Names are camelCase; the snake_case spelling of each is accepted too.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """One field of a message."""

    name: str
    kind: str
    repeated: bool
    mapped: bool


TABLE = {
    "GenerateContentRequest": """
        model:string contents:Content* systemInstruction:Content tools:Tool* toolConfig:ToolConfig
        safetySettings:SafetySetting* generationConfig:GenerationConfig cachedContent:string labels:string%
        serviceTier:enum store:bool""",
    "EmbedContentRequest": """
        model:string content:Content taskType:enum title:string outputDimensionality:int
        embedContentConfig:any""",
    "CountTokensRequest": "contents:Content* generateContentRequest:GenerateContentRequest",
    "BatchEmbedContentsRequest": "requests:EmbedContentRequest*",
    "Content": "parts:Part* role:string",
    "Part": """
        text:string inlineData:Blob fileData:FileData functionCall:FunctionCall functionResponse:FunctionResponse
        executableCode:ExecutableCode codeExecutionResult:CodeExecutionResult videoMetadata:VideoMetadata thought:bool
        thoughtSignature:bytes partMetadata:any mediaResolution:MediaResolution toolCall:any toolResponse:any
        audioTranscription:any mediaProcessing:any speechMetadata:any audioMetadata:any documentMetadata:any""",
    "Blob": "mimeType:string data:bytes displayName:string",
    "FileData": "mimeType:string fileUri:string displayName:string",
    "FunctionCall": "id:string name:string args:any partialArgs:any willContinue:bool",
    "FunctionResponse": "id:string name:string response:any willContinue:bool scheduling:enum parts:any",
    "ExecutableCode": "id:string language:enum code:string",
    "CodeExecutionResult": "id:string outcome:enum output:string",
    "VideoMetadata": "startOffset:string endOffset:string fps:number contentLayers:any",
    "MediaResolution": "level:enum numTokens:int",
    "Tool": """
        functionDeclarations:FunctionDeclaration* googleSearch:any googleSearchRetrieval:any codeExecution:any
        urlContext:any computerUse:any googleMaps:any fileSearch:any mcpServers:any""",
    "FunctionDeclaration": """
        name:string description:string behavior:enum parameters:Schema parametersJsonSchema:any response:Schema
        responseJsonSchema:any""",
    "Schema": """
        type:enum format:string title:string description:string nullable:bool enum:string* items:Schema maxItems:int
        minItems:int properties:Schema% required:string* minProperties:int maxProperties:int minLength:int
        maxLength:int pattern:string example:any anyOf:Schema* propertyOrdering:string* default:any minimum:number
        maximum:number additionalProperties:any""",
    "ToolConfig": """
        functionCallingConfig:FunctionCallingConfig retrievalConfig:any includeServerSideToolInvocations:bool""",
    "FunctionCallingConfig": "mode:enum allowedFunctionNames:string* streamFunctionCallArguments:bool",
    "SafetySetting": "category:enum threshold:enum",
    "GenerationConfig": """
        candidateCount:int stopSequences:string* maxOutputTokens:int temperature:number topP:number topK:number
        seed:int responseMimeType:string responseSchema:Schema responseJsonSchema:any presencePenalty:number
        frequencyPenalty:number responseLogprobs:bool logprobs:int enableEnhancedCivicAnswers:bool
        responseModalities:enum* speechConfig:SpeechConfig thinkingConfig:ThinkingConfig imageConfig:ImageConfig
        mediaResolution:enum responseFormat:any translationConfig:any audioTranscriptionConfig:any""",
    "ThinkingConfig": "includeThoughts:bool thinkingBudget:int thinkingLevel:enum",
    "SpeechConfig": "voiceConfig:VoiceConfig multiSpeakerVoiceConfig:MultiSpeakerVoiceConfig languageCode:string",
    "VoiceConfig": "prebuiltVoiceConfig:PrebuiltVoiceConfig replicatedVoiceConfig:any voice:string",
    "PrebuiltVoiceConfig": "voiceName:string",
    "MultiSpeakerVoiceConfig": "speakerVoiceConfigs:SpeakerVoiceConfig*",
    "SpeakerVoiceConfig": "speaker:string voiceConfig:VoiceConfig",
    "ImageConfig": """
        aspectRatio:string imageSize:string personGeneration:enum prominentPeople:enum outputMimeType:string
        outputCompressionQuality:int imageOutputOptions:any""",
}


def snake(camel: str) -> str:
    """`maxOutputTokens` as `max_output_tokens`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), camel)


def _spellings(fields: str) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for entry in fields.split():
        name, _, kind = entry.partition(":")
        field = Field(name, kind.rstrip("*%"), kind.endswith("*"), kind.endswith("%"))
        found |= {name: field, snake(name): field}
    return found


MESSAGES = {message: _spellings(fields) for message, fields in TABLE.items()}
MESSAGES["GenerationConfig"]["_responseJsonSchema"] = MESSAGES["GenerationConfig"]["responseJsonSchema"]
