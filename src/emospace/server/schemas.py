"""What requests may hold: OpenAI's fields, and those that steer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from emospace.specs import Guidance, Mode, Sampling, Scope, WeightedTone, tone_of

MAX_TOKENS = (
    "without it (null or -1) an answer goes on until the model ends it, or for the answer_tokens that /v1/models names, "
    "or as far as the model's context reaches"
)
TEMPERATURE = Sampling().temperature
"""Unless a request gives one: that of the command line and the page."""

LONGEST_STOP, MOST_STOPS, MOST_TEXTS = 200, 4, 64

UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "add_generation_prompt": (True,),
    "audio": (),
    "best_of": (1,),
    "dry_multiplier": (0,),
    "dynatemp_range": (0,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "function_call": ("none",),
    "functions": ([],),
    "ignore_eos": (False,),
    "include_stop_str_in_output": (False,),
    "length_penalty": (1,),
    "logit_bias": ({}, []),
    "logprobs": (False, 0),
    "min_p": (0,),
    "min_tokens": (0,),
    "mirostat": (0,),
    "modalities": (["text"], []),
    "n_keep": (0,),
    "n_predict": (-1,),
    "n_probs": (0,),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": (),
    "reasoning_format": ("auto", "deepseek"),
    "repeat_penalty": (1,),
    "repetition_penalty": (1,),
    "response_format": ({"type": "text"},),
    "skip_special_tokens": (True,),
    "suffix": ("",),
    "tfs_z": (1,),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "typical_p": (1,),
    "use_beam_search": (False,),
    "verbosity": (),
    "web_search_options": (),
    "xtc_probability": (0,),
}
"""Fields that would change the answer and cannot be honoured -> values beside null that change nothing."""

AS_UNSET = ("max_tokens", "max_completion_tokens", "max_output_tokens", "seed", "top_k")
"""Fields in which some clients write -1 for what others leave out."""

UNUSED = ("refusal", "annotations", "reasoning_content", "reasoning", "thinking")
"""Fields of a message that are let pass: thoughts of earlier turns are not given to the model again."""

LimitedText = Annotated[str, Field(max_length=2000)]
Number = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]


def refused(why: str, *place: str | int, code: str = "invalid_value") -> PydanticCustomError:
    """Return the error of a field of a body that pydantic has not come to yet."""
    return PydanticCustomError("refused", "{why}", {"why": why, "place": place, "code": code})


class Body(BaseModel):
    """A body: whatever it holds, its texts are Unicode."""

    @model_validator(mode="before")
    @classmethod
    def _unicode(cls, given: Any) -> Any:
        # Half a surrogate pair can be written in JSON, and is no character.
        waiting: list[tuple[tuple[str | int, ...], Any]] = [((), given)]
        while waiting:
            place, value = waiting.pop()
            if isinstance(value, str) and not is_unicode(value):
                raise refused("it holds half a surrogate pair, which is no character", *place)
            if isinstance(value, dict):
                if not all(is_unicode(key) for key in value):
                    raise refused("the name of a field is no Unicode text", *place)
                waiting += [((*place, key), part) for key, part in value.items()]
            elif isinstance(value, list):
                waiting += [((*place, number), part) for number, part in enumerate(value)]
        return given


def is_unicode(text: str) -> bool:
    """Return whether a text can be written as UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


class Tone(Body):
    """The tone asked for.

    `emotion` holds weighted emotions, or a text as on the command line (``joy - surprise``, ``anger | fear``), or a point
    of the circumplex (``valence`` and ``arousal``, -1 to 1); `dose` is in units of the norm, the calibrated one unless given.
    """

    emotion: Annotated[dict[str, Number], Field(max_length=64)] | LimitedText | None = Field(
        default=None,
        examples=[{"joy": 0.7, "surprise": 0.3}, "joy - 0.5*surprise", {"valence": 0.8, "arousal": -0.3}],
        description="weighted emotions, a sum as text (`|`: what follows is projected out), or a point of the circumplex "
        "(valence, arousal)",
    )
    latent: int | None = Field(
        default=None,
        ge=0,
        description="a latent of the model's autoencoder by its number, in place of `emotion`; takes `dose`",
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
    guidance: Guidance | None = Field(
        default=None,
        examples=[{"weight": 3, "plausible": 0.02, "cost": 0.8}],
        description="how tokens are chosen between the steered and the unsteered model; as calibrated unless given",
    )

    when: str | None = Field(
        default=None,
        max_length=200,
        examples=["anger > 0.5"],
        description="steer an answer only once this is read in its prompt or in what is said so far",
    )
    steer_thought: bool = Field(
        default=True, description="false: not a reasoning model's thought, its answer alone"
    )

    @property
    def tone(self) -> WeightedTone:
        """The emotions' weights, or the point's coordinates; raises `InvalidInput` where a text is neither."""
        return tone_of(self.emotion) if isinstance(self.emotion, str) else WeightedTone(self.emotion or {})


class StreamOptions(BaseModel):
    """What a stream tells beside the text."""

    model_config = ConfigDict(extra="ignore")

    include_usage: bool = False


class Generation(Tone):
    """What all requests to generate have in common."""

    model_config = ConfigDict(extra="forbid")
    unsupported: ClassVar[Mapping[str, tuple[Any, ...]]] = UNSUPPORTED

    model: str | None = Field(default=None, max_length=500)
    max_tokens: int | None = Field(default=None, ge=1, description=MAX_TOKENS)
    temperature: float | None = Field(
        default=None, ge=0, le=2, allow_inf_nan=False, description=f"{TEMPERATURE} unless given"
    )
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0, description="0, -1 or null: all tokens")
    n: int | None = Field(default=None, ge=1, le=64)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**64, description="-1 or null: drawn")
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = Field(default=None, description="accepted and not used, as are the fields below")
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: Any = None
    parallel_tool_calls: Any = None
    cache_prompt: Any = None
    id_slot: Any = None
    keep_alive: Any = None
    return_progress: Any = None
    timings_per_token: Any = None
    repeat_last_n: Any = None

    @model_validator(mode="before")
    @classmethod
    def _no_unsupported(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        for name, harmless in cls.unsupported.items():
            value = given.get(name)
            if value is not None and value not in harmless:
                give = "".join(f", or give {json.dumps(value)}" for value in harmless[:1])
                raise refused(
                    f"this server does not support it: leave it out{give}", name, code="unsupported"
                )
        return {
            name: None if name in AS_UNSET and value == -1 else value
            for name, value in given.items()
            if name not in cls.unsupported
        }

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop texts, empty ones left out."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in given if text)

    @model_validator(mode="after")
    def _few_stops(self) -> Generation:
        if len(self.stops) > MOST_STOPS or any(len(text) > LONGEST_STOP for text in self.stops):
            raise refused(f"at most {MOST_STOPS} texts of {LONGEST_STOP} characters", "stop")
        return self


class TextPart(BaseModel):
    """A part of a message; only text is read."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A message of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None
    name: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _used(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        if given.get("role") in ("tool", "function"):
            raise refused("this server calls no tools", "role", code="unsupported")
        content = given.get("content")
        for number, part in enumerate(content if isinstance(content, list) else []):
            kind = part.get("type") if isinstance(part, dict) else None
            if isinstance(kind, str) and kind != "text":
                why = f"'{kind[:40]}' is not read here, only parts of type 'text'"
                raise refused(why, "content", number, "type", code="unsupported")
        return {
            name: value
            for name, value in given.items()
            if name in cls.model_fields or (name not in UNUSED and value not in (None, []))
        }

    @property
    def text(self) -> str:
        """Its text."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class ChatRequest(Generation):
    """A conversation to be continued."""

    messages: list[Message] = Field(min_length=1, max_length=1000)
    max_completion_tokens: int | None = Field(default=None, ge=1, description="the same as max_tokens")
    chat_template_kwargs: dict[str, Any] | None = Field(
        default=None,
        examples=[{"enable_thinking": False}],
        max_length=20,
        description="what the model's chat template reads beside the messages",
    )


class CompletionRequest(Generation):
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


class Texts(Body):
    """One text, or several."""

    model_config = ConfigDict(extra="forbid")

    input: str | list[str] = Field(examples=["I am so happy!"])
    model: str | None = None

    @property
    def texts(self) -> list[str]:
        """The texts."""
        return [self.input] if isinstance(self.input, str) else self.input


class ReadRequest(Texts):
    """Texts to be read."""

    categories: list[str] | None = Field(default=None, max_length=100)
    features: int = Field(default=5, ge=0, le=20)


class JudgeRequest(Texts):
    """Texts to be judged, and what they answer or continue."""

    messages: list[Message] | None = Field(default=None, min_length=1, max_length=1000)
    prompt: str | None = None
    language: str = Field(default="en", max_length=20)


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
    guidance: dict[str, float] | None = None
    when: str | None = None
    steer_thought: bool = True
    applications: int = 0


class Marked(BaseModel):
    """A piece of a steered answer.

    Under guidance its log-probability, steered less unsteered (`shift`), says how much of the tone is its own; `steered`
    says whether the state it was drawn from was steered.
    """

    text: str
    shift: float
    steered: bool


class GateReport(BaseModel):
    """What the gate of an answer read, and after how many of its tokens it opened: 0 in the prompt, null never."""

    condition: str
    opened_after: int | None
    low: float | None
    high: float | None


class ChatMessage(BaseModel):
    """An answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    reasoning_content: str | None = Field(
        default=None, description="what a reasoning model thought before its answer"
    )
    refusal: None = None


class ChatChoice(BaseModel):
    """One of the answers."""

    index: int
    message: ChatMessage
    finish_reason: Literal["stop", "length"]
    logprobs: None = None
    marked: list[Marked] | None = Field(default=None, description="the pieces of a steered answer")
    gate: GateReport | None = Field(default=None, description="what the gate of `when` did")


class TextChoice(BaseModel):
    """One of the continuations."""

    index: int
    text: str
    finish_reason: Literal["stop", "length"]
    logprobs: None = None
    marked: list[Marked] | None = Field(default=None, description="the pieces of a steered answer")
    gate: GateReport | None = Field(default=None, description="what the gate of `when` did")


class _Completion(BaseModel):
    id: str
    object: str
    created: int
    model: str
    choices: list[Any]
    usage: Usage
    steering: Steered | None = None


class ChatCompletion(_Completion):
    """The response to a conversation."""

    object: Literal["chat.completion"] = "chat.completion"
    choices: list[ChatChoice]


class TextCompletion(_Completion):
    """The response to a text."""

    object: Literal["text_completion"] = "text_completion"
    choices: list[TextChoice]
