"""Answers of a model to prompts, whole or piece by piece, steered or not, and how likely each answer is."""

from __future__ import annotations

import logging
import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from emospace.errors import EmospaceError, InvalidInput
from emospace.generation.answering import Answer, Event
from emospace.generation.candidates import begin_answer
from emospace.generation.decoding import answer_parts, opens_thought
from emospace.generation.forward import batches, perplexities
from emospace.generation.loop import run
from emospace.generation.opening import GateState
from emospace.models import turns_of
from emospace.specs import Sampling
from emospace.steering.plan import SteeringPlan, plan_steering, warn_before, warn_of_no_token

if TYPE_CHECKING:
    from emospace.models import LanguageModel
    from emospace.specs import Mode
    from emospace.steering.vector import SteeringVector

log = logging.getLogger(__name__)


class Generated(NamedTuple):
    """Answers in the order of their prompts.

    Attributes
    ----------
    texts
        The answers without a reasoning model's thoughts; an answer cut inside its thought is empty.
    tokens
        For each answer an array ``[n]`` of token ids without the token that ends it, thoughts included.
    stopped
        ``[n_prompts]``, whether the token that ends an answer came before `Sampling.n_tokens`.
    applications
        States changed by the vector: token positions times layers, over all answers.
    reasoning
        The thoughts before each answer, empty where there was none.
    shifts
        For each answer ``[n]``, the log-probability of each token steered less unsteered; zeros without guidance.
    readings
        How far the unsteered model's states at each answer's tokens point along the vector, a mean cosine; 0 without
        guidance. By it one of several candidates is chosen.
    steered
        For each answer ``[n]`` of bool, whether the state that each token was drawn from was steered.
    gates
        What the gate of each answer read, and when it opened; empty without a gate.
    """

    texts: list[str]
    tokens: list[np.ndarray]
    stopped: np.ndarray
    applications: int
    reasoning: Sequence[str] = ()
    shifts: Sequence[np.ndarray] = ()
    readings: Sequence[float] = ()
    steered: Sequence[np.ndarray] = ()
    gates: Sequence[GateState] = ()


def generate(
    model: LanguageModel,
    prompts: Sequence[str],
    vector: SteeringVector | SteeringPlan | None = None,
    *,
    dose: float | None = None,
    mode: Mode | None = None,
    sampling: Sampling | None = None,
    system: str | None = None,
    batch_size: int = 40,
    **steer_options: Any,
) -> Generated:
    """Sample one answer to each prompt, under a steering vector where one is given.

    Parameters
    ----------
    model
        Chat models are given each prompt in their template, base models as it is, `system` before it; a template
        without a place for `system` gets it before the prompt's own text.
    prompts
        The number of a prompt in this sequence is part of its seed.
    vector, dose, mode, steer_options
        As in `emospace.steering.steer`; or a plan, which has all of them. None for an unsteered answer.
    sampling
        Length, temperature, top-k, top-p and seed; None takes the defaults of `Sampling`. The seed and a prompt's
        number decide the random number of each token, so that two answers to it differ by their vectors alone.
    system
        System prompt before each prompt; None for none.
    batch_size
        Answers generated at once. It decides memory and time, and nothing of an answer but rounding.

    Raises
    ------
    EmospaceError
        If a prompt and its answer are longer than the model reads, or the vector cannot be applied, or was applied
        to other tokens than asked for. Where no token is in its scope, a warning in the log says so.
    """
    plan = _plan(model, vector, dose, mode, steer_options)
    (generated,) = generate_together(
        model, [(prompts, plan)], sampling=sampling, system=system, batch_size=batch_size
    )
    return generated


def generate_together(
    model: LanguageModel,
    sets: Sequence[tuple[Sequence[str], SteeringPlan | None]],
    *,
    sampling: Sampling | None = None,
    system: str | None = None,
    batch_size: int = 40,
) -> list[Generated]:
    """Return for each set of prompts what `generate` gives it under its plan, but for rounding: all in the same batches.

    On a CPU, and for short sets anywhere, a step of one large batch costs little more than one of a small one.

    Raises
    ------
    EmospaceError
        As `generate`.
    """
    sampling = sampling or Sampling()
    answers_of = [_begin(model, prompts, plan, sampling, system) for prompts, plan in sets]
    answers = [answer for part in answers_of for answer in part]
    most = max((len(answer.candidates) for answer in answers), default=1)
    for batch in batches([answer.prompt for answer in answers], max(1, batch_size // most)):
        for _ in run(model, [answers[place] for place in batch]):
            pass
    for part in answers_of:
        _check_applied(part)
    return [_generated(model, part) for part in answers_of]


def stream(
    model: LanguageModel,
    prompt: str,
    vector: SteeringVector | SteeringPlan | None = None,
    *,
    dose: float | None = None,
    mode: Mode | None = None,
    sampling: Sampling | None = None,
    system: str | None = None,
    **steer_options: Any,
) -> Generator[str, None, Generated]:
    """Yield the answer that `generate` gives to one prompt, piece by piece, never half a character nor a thought.

    Of several candidates a piece comes when it is chosen.

    The model is steered only while a token is computed, so several streams may be read in turn. At its end the stream
    returns the answer as `generate` would.

    Parameters
    ----------
    model, vector, dose, mode, sampling, system, steer_options
        As in `generate`.
    prompt
        What the model is asked, or a beginning that a base model continues.

    Raises
    ------
    EmospaceError
        As `generate`, when the first piece is asked for.
    """
    plan = _plan(model, vector, dose, mode, steer_options)
    (answer,) = _begin(model, [prompt], plan, sampling or Sampling(), system)
    events: list[Event] = []
    answer.emit, answer.opened = events.append, opens_thought(model, answer.prompt)
    with closing(run(model, [answer])) as steps:
        for _ in steps:
            yield from (event.text for event in events if event.text)
            events.clear()
    _check_applied([answer])
    return _generated(model, [answer])


def perplexity(
    model: LanguageModel,
    prompts: Sequence[str],
    generated: Generated,
    system: str | None = None,
    batch_size: int = 20,
) -> np.ndarray:
    """Return ``exp(mean negative log-likelihood)`` ``[n_prompts]`` of the answers' tokens, given their prompts.

    An answer without a token has NaN.

    Parameters
    ----------
    model
        The model that rates the answers, as it is: call this outside of any steering to have the unsteered model's.
    prompts, system
        Those the answers were generated from.
    generated
        What `generate` returned; thoughts and answer count alike.
    batch_size
        Answers rated at once; it decides memory and time.

    Raises
    ------
    EmospaceError
        If there are more or fewer prompts than answers, or a prompt and its answer are longer than the model reads.
    """
    if len(prompts) != len(generated.tokens):
        raise InvalidInput(
            f"{len(generated.tokens)} answers to {len(prompts)} prompts",
            "each answer is judged after its own prompt",
            "Give the prompts they were generated from.",
        )
    longest = max((len(answer) for answer in generated.tokens), default=0)
    return perplexities(model, _token_rows(model, prompts, system, longest), generated.tokens, batch_size)


def _plan(
    model: LanguageModel,
    vector: SteeringVector | SteeringPlan | None,
    dose: float | None,
    mode: Mode | None,
    options: Mapping[str, Any],
) -> SteeringPlan | None:
    """Return how answers are steered, None for no vector."""
    if vector is None or isinstance(vector, SteeringPlan):
        return vector
    if "prompt_length" in options:
        raise InvalidInput(
            "the option prompt_length",
            "where a prompt ends is known here; it is meant for a forward pass of one's own",
            "Leave it out.",
        )
    return plan_steering(model, vector, dose, mode=mode, **options)


def _begin(
    model: LanguageModel,
    prompts: Sequence[str],
    plan: SteeringPlan | None,
    sampling: Sampling,
    system: str | None,
) -> list[Answer]:
    """Return the answers to prompts, none of them begun."""
    if plan is not None:
        warn_before(model, plan)
        if plan.scope == "response" and plan.window[0] >= sampling.n_tokens:
            raise InvalidInput(
                f"the vector {plan.vector.name!r} would be applied to no token",
                f"its window {plan.window} begins after an answer of {sampling.n_tokens} tokens",
                "Choose another window, or ask for more tokens.",
            )
    rows = _token_rows(model, prompts, system, sampling.n_tokens)
    return [begin_answer(row, sampling, plan, index) for index, row in enumerate(rows)]


def _token_rows(
    model: LanguageModel, prompts: Sequence[str], system: str | None, n_tokens: int
) -> list[list[int]]:
    """Return the token ids of each prompt as the model reads it, with room for `n_tokens` after it."""
    rows = [model.prompt_ids(turns_of(prompt, system)) for prompt in prompts]
    limit = model.context
    for prompt, row in zip(prompts, rows, strict=True):
        if limit is not None and len(row) + n_tokens > limit:
            raise InvalidInput(
                f"the prompt {prompt[:40]!r}",
                f"it has {len(row)} tokens, and with {n_tokens} of an answer more than the {limit} the model reads",
                "Shorten it, or ask for fewer tokens.",
            )
    return rows


def _generated(model: LanguageModel, answers: Sequence[Answer]) -> Generated:
    """Return finished answers under one plan."""
    tokens = [np.array(answer.tokens, dtype=np.int64) for answer in answers]
    parts = [answer_parts(model, answer.prompt, answer.tokens) for answer in answers]
    gates = [state for answer in answers if answer.opening and (state := answer.opening.state())]
    closed = [state for state in gates if state.opened_after is None]
    if closed:
        read = [reading for state in closed for reading in state.readings]
        log.warning(
            "the gate %s never opened in %d of %d answers, which are unsteered: it read %.2f to %.2f",
            closed[0].condition,
            len(closed),
            len(answers),
            min(read, default=math.nan),
            max(read, default=math.nan),
        )
    unanswered = sum(bool(part.reasoning and not part.answer) for part in parts)
    if unanswered:
        log.warning(
            "%d of %d answers ended inside the model's thought and are empty: give more tokens, or turn thinking off "
            "where the chat template can (--template-arg enable_thinking=false)",
            unanswered,
            len(parts),
        )
    return Generated(
        [part.answer for part in parts],
        tokens,
        np.array([answer.n_tokens < answer.sampling.n_tokens for answer in answers], dtype=bool),
        sum(answer.applications for answer in answers),
        [part.reasoning for part in parts],
        [np.array(answer.shifts, dtype=np.float32) for answer in answers],
        [answer.reading for answer in answers],
        [np.array(answer.steered, dtype=bool) for answer in answers],
        gates,
    )


def _check_applied(answers: Sequence[Answer]) -> None:
    """Raise where a vector changed another number of states than its scope, its window and the tokens ask for."""
    plan = answers[0].plan if answers else None
    if plan is None:
        return
    # The token that reaches the limit is sampled, but never run.
    expected = sum(
        plan.expected(len(answer.prompt), min(answer.n_tokens, answer.sampling.n_tokens - 1), answer.begins)
        for answer in answers
    )
    applications = sum(answer.applications for answer in answers)
    if applications != expected:
        raise EmospaceError(
            f"the vector {plan.vector.name!r} changed {applications} states",
            f"scope {plan.scope!r}, window {plan.window} and the tokens of the answers ask for {expected}",
            "Please report this, with the model's name and the version of transformers.",
        )
    waits = plan.gate is not None or not plan.thoughts
    if expected == 0 and not (plan.is_nothing or waits):
        warn_of_no_token(plan)
