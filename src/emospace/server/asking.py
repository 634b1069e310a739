"""From a request to what the engine is asked: token ids, a tone's vector, sampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from secrets import randbits
from typing import TYPE_CHECKING, Any

from emospace.errors import EmospaceError
from emospace.server.failures import ApiError, from_emospace
from emospace.specs import Sampling
from emospace.steering import steer
from emospace.steering.bank import AXES

if TYPE_CHECKING:
    from emospace.models import LanguageModel
    from emospace.server.schemas import ChatRequest, CompletionRequest, Message, Steered, Tone
    from emospace.specs import Limits
    from emospace.steering.bank import VectorBank
    from emospace.steering.hooks import Steering
    from emospace.steering.vector import SteeringVector

COLDEST = 1e-3
"""Below this temperature the likeliest token is taken."""


def chat_ids(
    model: LanguageModel,
    messages: Sequence[Message],
    limit: int,
    template_args: Mapping[str, Any] | None = None,
) -> list[int]:
    """Return the token ids of a conversation as the model reads it; base models get its texts one below the other."""
    _short_enough("messages", sum(len(message.text) for message in messages), limit)
    turns = [
        {"role": "system" if message.role == "developer" else message.role, "content": message.text}
        for message in messages
    ]
    try:
        found = model.prompt_ids(turns, template_args)
    except EmospaceError as error:
        field = "chat_template_kwargs" if error.what.startswith("template argument") else "messages"
        raise ApiError(400, f"{field}: {error}", "invalid_value", field) from error
    return _checked(model, found, limit, "messages")


def text_ids(model: LanguageModel, prompt: str | Sequence[int], limit: int) -> list[int]:
    """Return the token ids of a text to be continued; those of a list as they are."""
    if isinstance(prompt, str):
        _short_enough("prompt", len(prompt), limit)
        found = [*model.start_ids(), *model.tokenizer(prompt, add_special_tokens=False)["input_ids"]]
    else:
        found = list(prompt)
        known = model.model.get_input_embeddings().num_embeddings
        if not all(0 <= token < known for token in found):
            raise ApiError(400, f"prompt: token ids lie between 0 and {known - 1}", "invalid_value", "prompt")
    return _checked(model, found, limit, "prompt")


def context(model: LanguageModel) -> int | None:
    """Return the number of positions a model reads, None where it has no bound of its own."""
    config = getattr(model.model.config, "text_config", model.model.config)
    return getattr(config, "max_position_embeddings", None)


def sampling_of(request: ChatRequest | CompletionRequest, room: int, limits: Limits) -> Sampling:
    """Return how an answer with `room` for its tokens is sampled; without a seed one is drawn."""
    field = "max_completion_tokens" if getattr(request, "max_completion_tokens", None) else "max_tokens"
    asked = getattr(request, field)
    if asked is not None and asked > limits.answer_tokens:
        raise ApiError(
            400,
            f"{field}: {asked} is more than the {limits.answer_tokens} this server gives",
            "invalid_value",
            field,
        )
    if asked is not None and asked > room:
        raise _too_long(f"the prompt leaves room for {max(room, 0)} tokens of the {asked} asked for", field)
    temperature = 1.0 if request.temperature is None else request.temperature
    return Sampling(
        n_tokens=asked or min(limits.answer_tokens, room),
        temperature=temperature if temperature >= COLDEST else 0.0,
        top_k=request.top_k or 0,
        top_p=1.0 if request.top_p is None else request.top_p,
        seed=randbits(32) if request.seed is None else request.seed % 2**64,
    )


def steering_of(model: LanguageModel, bank: VectorBank | None, tone: Tone) -> tuple[Steering, Steered] | None:
    """Return a tone's vector, ready to be applied, and what is told of it; None for no tone.

    Raises
    ------
    ApiError
        For an unknown emotion, a mix of both ways to name a tone, or a model without vectors.
    """
    weights = {name: value for name, value in (tone.emotion or {}).items() if value}
    if not weights or tone.dose == 0:
        _known(bank, tone)
        return None
    try:
        vector = _vector(model, bank, weights, tone)
        steering = steer(
            model, replace(vector, calibration={}), _dose(vector, tone), mode=tone.mode, scope=tone.scope
        )
    except EmospaceError as error:
        raise from_emospace(error, "emotion") from error
    return steering, _told(steering, vector)


def _known(bank: VectorBank | None, tone: Tone) -> None:
    """Refuse an unknown name also where its weight is 0: a slip would go unnoticed otherwise."""
    for name in tone.emotion or {}:
        if name not in AXES and bank is not None:
            try:
                bank.vector(name, tone.mode)
            except EmospaceError as error:
                raise from_emospace(error, "emotion") from error


def _vector(
    model: LanguageModel, bank: VectorBank | None, weights: dict[str, float], tone: Tone
) -> SteeringVector:
    if bank is None:
        raise EmospaceError(
            f"emotion {weights}",
            f"no steering vectors were calibrated for the model '{model.identity.get('name')}'",
            "Make them: emospace steer calibrate",
        )
    axes = [name for name in AXES if name in (tone.emotion or {})]
    if axes and len(axes) < len(tone.emotion or {}):
        raise EmospaceError(
            f"emotion {tone.emotion}",
            "it names both emotions and a point of the circumplex",
            'Give {"joy": 0.7}, or {"valence": 0.8, "arousal": -0.3}.',
        )
    if axes:
        return bank.point(weights.get("valence", 0.0), weights.get("arousal", 0.0), tone.mode)
    return bank.mix(weights, tone.mode)


def _dose(vector: SteeringVector, tone: Tone) -> float:
    return vector.dose(tone.mode) if tone.dose is None else tone.dose


def _told(steering: Steering, vector: SteeringVector) -> Steered:
    from emospace.server.schemas import Steered

    known = vector.calibration.get(steering.mode)
    return Steered(
        vector=vector.name,
        mode=steering.mode,
        op=steering.op,
        scope=steering.scope,
        layers=list(vector.layers),
        dose=steering.dose,
        calibrated_dose=known and known.dose,
        low=known and known.low,
        high=known and known.high,
        beyond_range=None if known is None else abs(steering.dose) > known.high,
    )


def _short_enough(field: str, characters: int, limit: int) -> None:
    """Refuse what no tokenizer makes few enough tokens of, before it is tokenised."""
    if characters > 32 * limit:
        raise _too_long(f"the prompt has {characters:,} characters", field)


def _checked(model: LanguageModel, ids: list[int], limit: int, field: str) -> list[int]:
    most = min(limit, (context(model) or limit + 1) - 1)
    if not ids:
        raise ApiError(400, f"{field}: it is empty", "invalid_value", field)
    if len(ids) > most:
        raise _too_long(f"the prompt has {len(ids):,} tokens, {most:,} are read", field)
    return ids


def _too_long(why: str, param: str | None = None) -> ApiError:
    return ApiError(400, f"Too long: {why}.", "context_length_exceeded", param)


def check_model(name: str | None, known: Sequence[Any]) -> None:
    """Refuse a model that is not served."""
    if name is not None and name not in known:
        raise ApiError(
            404, f"There is no model '{name}' here; there is '{known[0]}'.", "model_not_found", "model"
        )
