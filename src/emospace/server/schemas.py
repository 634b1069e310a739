"""What requests may hold: OpenAI's fields, and those that steer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from emospace.steering.vector import Mode, Scope

LONGEST_STOP, MOST_STOPS, MOST_TEXTS = 200, 4, 64

UNSUPPORTED = (
    "audio",
    "best_of",
    "echo",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "modalities",
    "prediction",
    "reasoning_effort",
    "response_format",
    "suffix",
    "tool_choice",
    "tools",
    "top_logprobs",
    "verbosity",
    "web_search_options",
)
"""Fields that would change the answer and cannot be honoured; null, and what changes nothing, is let pass."""

NOTHING: tuple[Any, ...] = (None, False, 0, "none", [], {}, {"type": "text"})

Number = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]


class Tone(BaseModel):
    """The tone asked for.

    `emotion` holds weighted emotions or a point of the circumplex (``valence`` and ``arousal``, -1 to 1); `dose` is
    in units of the norm, the calibrated one unless given.
    """

    emotion: dict[str, Number] | None = Field(
        default=None,
        examples=[{"joy": 0.7}, {"valence": 0.8, "arousal": -0.3}],
        max_length=64,
        description="weighted emotions, or a point of the circumplex (valence, arousal)",
    )
    dose: float | None = Field(
        default=None,
        ge=-10,
        le=10,
        allow_inf_nan=False,
        description="in units of the norm; as calibrated unless given",
    )
    scope: Scope | None = Field(default=None, description="tokens steered; as calibrated unless given")
    mode: Mode = "relative"


class StreamOptions(BaseModel):
    """What a stream tells beside the text."""

    model_config = ConfigDict(extra="ignore")

    include_usage: bool = False


class _Generation(Tone):
    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(default=None, max_length=500)
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    n: int | None = Field(default=None, ge=1, le=64)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**64)
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    presence_penalty: float | None = Field(default=None, ge=0, le=0, description="not supported")
    frequency_penalty: float | None = Field(default=None, ge=0, le=0, description="not supported")
    user: str | None = Field(default=None, description="accepted and not used, as are the fields below")
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    parallel_tool_calls: Any = None

    @model_validator(mode="before")
    @classmethod
    def _no_unsupported(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        for name in UNSUPPORTED:
            if given.get(name) not in NOTHING:
                raise ValueError(f"'{name}' is not supported by this server")
        return {name: value for name, value in given.items() if name not in UNSUPPORTED}

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop texts, empty ones left out."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in given if text)

    @model_validator(mode="after")
    def _few_stops(self) -> _Generation:
        if len(self.stops) > MOST_STOPS or any(len(text) > LONGEST_STOP for text in self.stops):
            raise ValueError(f"stop: at most {MOST_STOPS} texts of {LONGEST_STOP} characters")
        return self


class TextPart(BaseModel):
    """A part of a message; only text is read."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None
    name: str | None = None

    @property
    def text(self) -> str:
        """Its text."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class ChatRequest(_Generation):
    """A conversation to be continued."""

    messages: list[Message] = Field(min_length=1, max_length=1000)
    max_completion_tokens: int | None = Field(default=None, ge=1)


class CompletionRequest(_Generation):
    """Texts to be continued, as texts or token ids."""

    prompt: str | list[str] | list[int] | list[list[int]]

    @property
    def prompts(self) -> Sequence[str | Sequence[int]]:
        """The prompts, one or several."""
        match self.prompt:
            case str() as text:
                return [text]
            case [int(), *_] as ids:
                return [[int(token) for token in ids]]  # type: ignore[arg-type]
            case several:
                return several  # type: ignore[return-value]


class ResolveRequest(Tone):
    """A tone to be looked at without generating."""

    model_config = ConfigDict(extra="forbid")


class ReadRequest(BaseModel):
    """Texts to be read."""

    model_config = ConfigDict(extra="forbid")

    input: str | list[str] = Field(examples=["I am so happy!"])
    categories: list[str] | None = Field(default=None, max_length=100)
    features: int = Field(default=5, ge=0, le=20)
    model: str | None = None

    @property
    def texts(self) -> list[str]:
        """The texts."""
        return [self.input] if isinstance(self.input, str) else self.input


class JudgeRequest(BaseModel):
    """Texts to be judged, and what they answer or continue."""

    model_config = ConfigDict(extra="forbid")

    input: str | list[str]
    messages: list[Message] | None = Field(default=None, min_length=1, max_length=1000)
    prompt: str | None = None
    language: str = Field(default="en", max_length=20)
    model: str | None = None

    @property
    def texts(self) -> list[str]:
        """The texts."""
        return [self.input] if isinstance(self.input, str) else self.input


class Usage(BaseModel):
    """Tokens of prompts and answers; the token that ends an answer is not counted."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Steered(BaseModel):
    """What was steered: `low` and `high` bound the doses that stayed fluent in calibration."""

    vector: str
    mode: Mode
    op: str
    scope: Scope
    layers: list[int]
    dose: float
    calibrated_dose: float | None
    low: float | None
    high: float | None
    beyond_range: bool | None
    applications: int = 0


class ChatMessage(BaseModel):
    """An answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    """One of the answers."""

    index: int
    message: ChatMessage
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


class TextChoice(BaseModel):
    """One of the continuations."""

    index: int
    text: str
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


class ChatCompletion(BaseModel):
    """The response to a conversation."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    steering: Steered | None = None


class TextCompletion(BaseModel):
    """The response to a text."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage
    steering: Steered | None = None
