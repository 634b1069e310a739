"""From a request to what the engine is asked: token ids, a steering plan, sampling."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from secrets import randbits
from typing import TYPE_CHECKING, Any

from emospace.errors import EmospaceError, InvalidInput
from emospace.generation.candidates import begin_answer
from emospace.generation.decoding import opens_thought
from emospace.reading import make_gate
from emospace.server.failures import ApiError, from_emospace
from emospace.server.schemas import TEMPERATURE, ChatRequest, CompletionRequest, Steered
from emospace.specs import Guidance, Sampling
from emospace.steering import SteeringPlan, SteeringVector, plan_steering
from emospace.steering.bank import AXES
from emospace.steering.directions import latent_vector

if TYPE_CHECKING:
    from emospace.generation.answering import Answer, Event
    from emospace.models import LanguageModel
    from emospace.reading import Reader
    from emospace.sae import SparseAutoencoder
    from emospace.server.engine import Engine
    from emospace.server.schemas import Message, Tone
    from emospace.specs import Limits
    from emospace.steering.bank import VectorBank
    from emospace.steering.gate import Gate

COLDEST = 1e-3
"""Below this temperature the likeliest token is taken."""


def read_prompts(
    model: LanguageModel, request: ChatRequest | CompletionRequest, limits: Limits
) -> list[list[int]]:
    """Return the token ids of what is to be continued, a conversation or several texts; not too many at once."""
    if isinstance(request, CompletionRequest) and not request.prompts:
        raise ApiError(400, "prompt: the list is empty", "invalid_value", "prompt")
    n_prompts = 1 if isinstance(request, ChatRequest) else len(request.prompts)
    if n_prompts * (request.n or 1) > limits.queue:
        why = f"n: this server gives at most {limits.queue} answers to a request (emospace serve --queue)"
        raise ApiError(400, why, "invalid_value", "n")
    if isinstance(request, ChatRequest):
        return [chat_ids(model, request.messages, limits.prompt_tokens, request.chat_template_kwargs)]
    return [text_ids(model, prompt, limits.prompt_tokens) for prompt in request.prompts]


def begin_answers(
    engine: Engine,
    request: ChatRequest | CompletionRequest,
    prompts: Sequence[Sequence[int]],
    emit: Callable[[Event], None],
) -> list[Answer]:
    """Return the answers to a request, none of them begun, each with its tone, sampling and bounds."""
    model, limits = engine.model, engine.limits
    plan = plan_of(model, engine.bank, request, engine.reader)
    guidance = None if plan is None else plan.acting_guidance
    if guidance is not None and (guidance.candidates or 1) > limits.rows:
        why = f"guidance: {guidance.candidates} candidates are more than the {limits.rows} rows of this server (emospace serve --rows)"
        raise ApiError(400, why, "invalid_value", "guidance")
    deadline = time.monotonic() + limits.seconds
    answers: list[Answer] = []
    for prompt in prompts:
        space = (model.context or len(prompt) + limits.answer_tokens) - len(prompt)
        sampling = sampling_of(request, space, limits)
        opened = opens_thought(model, prompt) if isinstance(request, ChatRequest) else None
        for _ in range(request.n or 1):
            index = len(answers)
            client = {"emit": emit, "stops": request.stops, "opened": opened, "deadline": deadline}
            answers.append(begin_answer(prompt, sampling, plan, index, **client))
    return answers


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
        ids = model.prompt_ids(turns, template_args)
    except EmospaceError as error:
        field = "chat_template_kwargs" if error.what.startswith("template argument") else "messages"
        raise ApiError(400, f"{field}: {error}", "invalid_value", field) from error
    return _checked(model, ids, limit, "messages")


def text_ids(model: LanguageModel, prompt: str | Sequence[int], limit: int) -> list[int]:
    """Return the token ids of a text to be continued; those of a list as they are."""
    if isinstance(prompt, str):
        _short_enough("prompt", len(prompt), limit)
        ids = model.text_ids(prompt)
    else:
        ids = list(prompt)
        size = model.model.get_input_embeddings().num_embeddings
        if not all(0 <= token < size for token in ids):
            raise ApiError(400, f"prompt: token ids lie between 0 and {size - 1}", "invalid_value", "prompt")
    return _checked(model, ids, limit, "prompt")


def sampling_of(request: ChatRequest | CompletionRequest, space: int, limits: Limits) -> Sampling:
    """Return how an answer of at most `space` tokens is sampled; without a seed one is drawn."""
    field = "max_completion_tokens" if getattr(request, "max_completion_tokens", None) else "max_tokens"
    n_tokens = getattr(request, field)
    if n_tokens is not None and n_tokens > limits.answer_tokens:
        why = f"{field}: {n_tokens} is more than the {limits.answer_tokens} this server gives (emospace serve --max-tokens)"
        raise ApiError(400, why, "invalid_value", field)
    if n_tokens is not None and n_tokens > space:
        why = f"the prompt leaves room for {max(space, 0)} tokens of the {n_tokens} asked for"
        raise _too_long(why, field)
    temperature = TEMPERATURE if request.temperature is None else request.temperature
    return Sampling(
        n_tokens=n_tokens or min(limits.answer_tokens, space),
        temperature=temperature if temperature >= COLDEST else 0.0,
        top_k=request.top_k or 0,
        top_p=1.0 if request.top_p is None else request.top_p,
        seed=randbits(32) if request.seed is None else request.seed % 2**64,
    )


def plan_of(
    model: LanguageModel, bank: VectorBank | None, request: Tone, reader: Reader | None = None
) -> SteeringPlan | None:
    """Return how a tone, or a latent of the reader's autoencoder, steers; None for no tone.

    Raises
    ------
    ApiError
        For an unknown emotion, a mix of both ways to name a tone, or a model without vectors.
    """
    try:
        vector = (
            _vector_of(model, bank, request)
            if request.latent is None
            else _latent_of(model, bank, request, None if reader is None else reader.sae)
        )
        gate = _gate_of(request, reader)
        if vector is None or request.dose == 0:
            return None
        guidance = _guidance_of(request, vector)
        return plan_steering(
            *(model, vector, request.dose),
            mode=request.mode,
            scope=request.scope,
            guidance=guidance,
            gate=gate,
            thoughts=request.steer_thought,
        )
    except EmospaceError as error:
        raise from_emospace(error, "emotion" if request.latent is None else "latent") from error


def _guidance_of(request: Tone, vector: SteeringVector) -> Guidance:
    """Return how tokens are chosen, what the client leaves open as the vector was calibrated."""
    try:
        return (request.guidance or Guidance()).over(vector.guidance_in(request.mode))
    except EmospaceError as error:
        raise from_emospace(error, "guidance") from error


def _gate_of(request: Tone, reader: Reader | None) -> Gate | None:
    """Return the gate of `when`, None where there is none."""
    if request.when is None:
        return None
    if reader is None:
        raise ApiError(400, "when: this server was started without a reader", "unsupported", "when")
    try:
        return make_gate(reader, request.when)
    except EmospaceError as error:
        raise from_emospace(error, "when") from error


async def read_ranges(engine: Engine, client: str, request: Tone) -> None:
    """Let the engine measure, once, how far the readings go that a gate's threshold is held against."""
    reader = engine.reader
    if request.when is not None and reader is not None and "ranges" not in vars(reader):
        await asyncio.wrap_future(engine.call(client, lambda: reader.ranges))


def _vector_of(model: LanguageModel, bank: VectorBank | None, request: Tone) -> SteeringVector | None:
    """Return the vector of the emotions that are named, None for none."""
    tone = request.tone
    if not any(tone.weights.values()) or request.dose == 0:
        # A slip in a name whose weight is 0 would go unnoticed otherwise.
        for name in tone.names:
            if name not in AXES and bank is not None:
                bank.vector(name, request.mode)
        return None
    if bank is None:
        raise EmospaceError(
            f"emotion {request.emotion}",
            f"no steering vectors were calibrated for the model '{model.identity.get('name')}'",
            "Make them: emospace steer calibrate",
        )
    return bank.tone(tone, request.mode)


def _latent_of(
    model: LanguageModel, bank: VectorBank | None, request: Tone, sae: SparseAutoencoder | None
) -> SteeringVector:
    """Return the vector of a latent; the norms its dose is measured in are those of the calibrated vectors."""
    what = f"latent {request.latent}"
    if request.emotion:
        raise InvalidInput(f"{what} and emotion {request.emotion}", "both name the tone", "Give one of them.")
    medians = {} if bank is None else bank.medians
    if sae is None or sae.layer not in medians:
        why = "this server has no autoencoder of the model, or no vectors at its layer"
        raise InvalidInput(what, why, "Serve a model that has both, with reading on.")
    assert request.latent is not None
    return latent_vector(model, sae, request.latent, request.mode, {sae.layer: medians[sae.layer]})


def describe_plan(plan: SteeringPlan) -> Steered:
    """Return a plan as clients see it: vector, dose, and the range that calibration measured."""
    calibrated = plan.vector.calibration.get(plan.mode)
    return Steered(
        vector=plan.vector.name,
        mode=plan.mode,
        op=plan.op,
        scope=plan.scope,
        layers=list(plan.vector.layers),
        dose=plan.dose,
        calibrated_dose=calibrated and calibrated.dose,
        low=calibrated and calibrated.low,
        high=calibrated and calibrated.high,
        beyond_range=None if calibrated is None else abs(plan.dose) > calibrated.high,
        guidance=plan.acting_guidance and plan.acting_guidance.given,
        when=plan.acting_gate and str(plan.acting_gate),
        steer_thought=plan.thoughts,
    )


def _short_enough(field: str, characters: int, limit: int) -> None:
    """Refuse what no tokenizer makes few enough tokens of, before it is tokenised."""
    if characters > 32 * limit:
        raise _too_long(f"the prompt has {characters:,} characters", field)


def _checked(model: LanguageModel, ids: list[int], limit: int, field: str) -> list[int]:
    most = min(limit, (model.context or limit + 1) - 1)
    if not ids:
        raise ApiError(400, f"{field}: it is empty", "invalid_value", field)
    if len(ids) > most:
        raise _too_long(f"the prompt has {len(ids):,} tokens, {most:,} are read", field)
    return ids


def _too_long(why: str, param: str | None = None) -> ApiError:
    return ApiError(400, f"Too long: {why}.", "context_length_exceeded", param)


def check_model(name: str | None, served: Sequence[Any]) -> None:
    """Refuse a model that is not served."""
    if name is not None and name not in served:
        why = f"There is no model '{name}' here; there is '{served[0]}'."
        raise ApiError(404, why, "model_not_found", "model")
