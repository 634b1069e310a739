"""Answers of a model, steered or not, sampled so that both can be compared, and how likely each answer is.

One token of one answer takes one uniform number, fixed by the seed, the number of the prompt and the place of the
token: but for rounding an answer does not depend on its batch, and steered and unsteered answers share their noise.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from emospace.errors import EmospaceError
from emospace.models import (
    AnswerStream,
    answer_parts,
    cache_argument,
    check_cached,
    decode,
    opens_thought,
    turns_of,
)
from emospace.specs import Sampling

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel
    from emospace.specs import Mode
    from emospace.steering.hooks import Steering
    from emospace.steering.rows import RowSteering
    from emospace.steering.vector import SteeringVector


log = logging.getLogger(__name__)


class Generated(NamedTuple):
    """Answers in the order of their prompts.

    `texts` are without a reasoning model's thoughts, which `reasoning` has ("" where there was none); an answer cut
    inside its thought is empty. `tokens` are arrays ``[n]`` of token ids without the token that ends an answer, thoughts included, `stopped` ``[n_prompts]`` says
    where that token came before `Sampling.n_tokens`, `applications` counts token positions times layers changed by
    the vector.
    """

    texts: list[str]
    tokens: list[np.ndarray]
    stopped: np.ndarray
    applications: int
    reasoning: Sequence[str] = ()


def generate(
    model: LanguageModel,
    prompts: Sequence[str],
    vector: SteeringVector | None = None,
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
        As in `emospace.steering.steer`.

    Raises
    ------
    EmospaceError
        If a prompt and its answer are longer than the model reads, or the vector cannot be applied, or was applied
        to other tokens than asked for. Where no token is in its scope, a warning in the log says so.
    """
    sampling = sampling or Sampling()
    steering = _steering(model, vector, dose, mode, sampling, steer_options)
    (generated,) = _sampled(model, [(prompts, steering)], sampling, system, batch_size)
    return generated


class Asked(NamedTuple):
    """Prompts under one vector, or none: what `generate` is given."""

    prompts: Sequence[str]
    vector: SteeringVector | None = None
    dose: float | None = None
    mode: Mode | None = None


def generate_together(
    model: LanguageModel,
    asked: Sequence[Asked],
    *,
    sampling: Sampling | None = None,
    system: str | None = None,
    batch_size: int = 40,
) -> list[Generated]:
    """Return for each set of prompts what `generate` gives it, but for rounding: all in the same batches.

    On a CPU, and for short sets anywhere, a step of one large batch costs little more than one of a small one.

    Raises
    ------
    EmospaceError
        As `generate`.
    """
    sampling = sampling or Sampling()
    sets = [(one.prompts, _steering(model, one.vector, one.dose, one.mode, sampling, {})) for one in asked]
    return _sampled(model, sets, sampling, system, batch_size)


def stream(
    model: LanguageModel,
    prompt: str,
    vector: SteeringVector | None = None,
    *,
    dose: float | None = None,
    mode: Mode | None = None,
    sampling: Sampling | None = None,
    system: str | None = None,
    **steer_options: Any,
) -> Generator[str, None, Generated]:
    """Yield the answer that `generate` gives to one prompt, piece by piece, never half a character nor a thought.

    The model is steered only while a token is computed, so several streams may be read in turn. At its end the stream
    returns the answer as `generate` would.

    Raises
    ------
    EmospaceError
        As `generate`, when the first piece is asked for.
    """
    from emospace.steering.rows import RowSteering

    sampling = sampling or Sampling()
    rows = _token_rows(model, [prompt], system, sampling.n_tokens)
    steering = _steering(model, vector, dose, mode, sampling, steer_options)
    tokens: list[int] = []
    applied: Counter[int] = Counter()
    text = AnswerStream(partial(decode, model), opens_thought(model, rows[0]))
    with RowSteering(model, [steering]).attached() as steered:
        for step in _steps(model, rows, _uniforms(sampling, 0)[None], sampling, steered, applied):
            if step[0] < 0:
                break
            tokens.append(int(step[0]))
            if piece := text.push(tokens[-1]).answer:
                yield piece
    if piece := text.close().answer:
        yield piece
    answers = [np.array(tokens, dtype=np.int64)]
    _check_applied(steering, rows, answers, sampling, applied[0])
    return _generated(model, rows, answers, sampling, applied[0])


def perplexity(
    model: LanguageModel,
    prompts: Sequence[str],
    generated: Generated,
    system: str | None = None,
    batch_size: int = 20,
) -> np.ndarray:
    """Return ``exp(mean negative log-likelihood)`` ``[n_prompts]`` of the answers' tokens, given their prompts.

    The model is taken as it is: call it outside of any steering to have the unsteered model's. An answer without a
    token has NaN.
    """
    import torch

    if len(prompts) != len(generated.tokens):
        raise EmospaceError(
            f"{len(generated.tokens)} answers to {len(prompts)} prompts",
            "each answer is judged after its own prompt",
            "give the prompts they were generated from",
        )
    longest = max((len(answer) for answer in generated.tokens), default=0)
    rows = _token_rows(model, prompts, system, longest)
    scores = np.full(len(rows), np.nan)
    filled = [index for index in range(len(rows)) if len(generated.tokens[index])]
    for batch in _batches([rows[index] for index in filled], batch_size):
        chosen = [filled[place] for place in batch]
        answers = [torch.as_tensor(generated.tokens[index]) for index in chosen]
        ids, mask = left_padded([rows[index] for index in chosen])
        answer, real = _right_padded(answers)
        with torch.inference_mode():
            logits = forward(
                model,
                torch.cat([ids, answer], dim=1).to(model.device),
                torch.cat([mask, real], dim=1).to(model.device),
                keep=answer.shape[1] + 1,
            )[:, :-1]
            for index, row, told, n in zip(
                chosen, logits, answer.to(logits.device), real.sum(dim=1).tolist(), strict=True
            ):
                loss = torch.nn.functional.cross_entropy(row[:n].float(), told[:n])
                scores[index] = float(loss.exp())
    return scores


def _token_rows(
    model: LanguageModel, prompts: Sequence[str], system: str | None, n_tokens: int
) -> list[list[int]]:
    """Return the token ids of each prompt as the model reads it, with room for `n_tokens` after it."""
    rows = [model.prompt_ids(turns_of(prompt, system)) for prompt in prompts]
    config = getattr(model.model.config, "text_config", model.model.config)
    limit = getattr(config, "max_position_embeddings", None)
    for prompt, row in zip(prompts, rows, strict=True):
        if limit is not None and len(row) + n_tokens > limit:
            raise EmospaceError(
                f"the prompt {prompt[:40]!r}",
                f"it has {len(row)} tokens, and with {n_tokens} of an answer more than the {limit} the model reads",
                "shorten it, or ask for fewer tokens",
            )
    return rows


def _steering(
    model: LanguageModel,
    vector: SteeringVector | None,
    dose: float | None,
    mode: Mode | None,
    sampling: Sampling,
    options: Mapping[str, Any],
) -> Steering | None:
    """Return how answers are steered, None for no vector."""
    from emospace.steering.hooks import steer

    if vector is None:
        return None
    if "prompt_length" in options:
        raise EmospaceError(
            "the option prompt_length",
            "where a prompt ends is known here; it is meant for a forward pass of one's own",
            "leave it out",
        )
    steering = steer(model, vector, dose, mode=mode, **options)
    if steering.scope == "response" and steering.window[0] >= sampling.n_tokens:
        raise EmospaceError(
            f"the vector {vector.name!r} would be applied to no token",
            f"its window {steering.window} begins after an answer of {sampling.n_tokens} tokens",
            "choose another window, or ask for more tokens",
        )
    return steering


def _sampled(
    model: LanguageModel,
    sets: Sequence[tuple[Sequence[str], Steering | None]],
    sampling: Sampling,
    system: str | None,
    batch_size: int,
) -> list[Generated]:
    """Return the answers to each set of prompts under its own steering, all in the same batches."""
    from emospace.steering.rows import RowSteering

    owners = [steering for prompts, steering in sets for _ in prompts]
    rows = _token_rows(
        model, [prompt for prompts, _ in sets for prompt in prompts], system, sampling.n_tokens
    )
    noise = [_uniforms(sampling, index) for prompts, _ in sets for index in range(len(prompts))]
    answers: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(rows)
    applied: Counter[int] = Counter()
    for batch in _batches(rows, batch_size):
        uniforms, counts = np.stack([noise[row] for row in batch]), Counter[int]()
        with RowSteering(model, [owners[row] for row in batch]).attached() as steered:
            steps = list(_steps(model, [rows[row] for row in batch], uniforms, sampling, steered, counts))
        for place, answer in enumerate(np.stack(steps, axis=1)):
            answers[batch[place]], applied[batch[place]] = answer[answer >= 0], counts[place]
    generated, start = [], 0
    for prompts, steering in sets:
        part = slice(start, start := start + len(prompts))
        count = sum(applied[row] for row in range(part.start, part.stop))
        _check_applied(steering, rows[part], answers[part], sampling, count)
        generated.append(_generated(model, rows[part], answers[part], sampling, count))
    return generated


def _check_applied(
    steering: Steering | None,
    rows: Sequence[Sequence[int]],
    answers: Sequence[np.ndarray],
    sampling: Sampling,
    applications: int,
) -> None:
    """Raise where a vector changed another number of states than its scope, its window and the tokens ask for."""
    from emospace.steering.checks import warn_of_no_token

    if steering is None or not rows:
        return
    # The token that reaches the limit is sampled, but never run.
    expected = sum(
        steering.expected(len(row), min(len(answer), sampling.n_tokens - 1))
        for row, answer in zip(rows, answers, strict=True)
    )
    if applications != expected:
        raise EmospaceError(
            f"the vector {steering.vector.name!r} changed {applications} states",
            f"scope {steering.scope!r}, window {steering.window} and the tokens of the answers ask for {expected}",
            "please report this, with the model's name and the version of transformers",
        )
    if expected == 0 and not steering.is_nothing:
        warn_of_no_token(steering)


def _generated(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    answers: list[np.ndarray],
    sampling: Sampling,
    applications: int,
) -> Generated:
    parts = [answer_parts(model, row, answer) for row, answer in zip(rows, answers, strict=True)]
    unanswered = sum(bool(part.reasoning and not part.answer) for part in parts)
    if unanswered:
        log.warning(
            "%d of %d answers ended inside the model's thought and are empty: give more tokens, or turn thinking off "
            "where the chat template can (--template-arg enable_thinking=false)",
            unanswered,
            len(parts),
        )
    stopped = np.array([len(answer) < sampling.n_tokens for answer in answers], dtype=bool)
    return Generated(
        [part.answer for part in parts], answers, stopped, applications, [part.reasoning for part in parts]
    )


def positions_of(step: int, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the index in the answer of each position a step runs, and which are no padding, both ``[n_rows, width]``."""
    import torch

    n_rows, width = mask.shape
    if step == 0:
        return torch.arange(-width, 0).expand(n_rows, width), mask > 0
    return torch.full((n_rows, 1), step - 1), mask[:, -1:] > 0


def _uniforms(sampling: Sampling, index: int) -> np.ndarray:
    return np.random.default_rng([sampling.seed, index]).random(sampling.n_tokens, dtype=np.float32)


def _batches(rows: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Yield row numbers in batches of like length, so that little is padding."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _steps(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    uniforms: np.ndarray,
    sampling: Sampling,
    steering: RowSteering,
    applied: Counter[int],
) -> Iterator[np.ndarray]:
    """Yield the next token of each row ``[n_rows]``, -1 where its answer has ended, until all have.

    `uniforms` is ``[n_rows, n_tokens]``; `applied` counts for each row the states that are changed.
    """
    import torch
    from transformers import DynamicCache

    noise = torch.as_tensor(uniforms).to(model.device)
    ends = torch.tensor(end_ids(model), dtype=torch.int64, device=model.device)
    ids, real = left_padded(rows)
    ids, mask = ids.to(model.device), real.to(model.device)
    cache = DynamicCache(config=model.model.config)
    ended = torch.zeros(len(rows), dtype=torch.bool, device=model.device)
    for step in range(sampling.n_tokens):
        with torch.inference_mode(), steering.on(*positions_of(step, real)) as counts:
            logits = forward(model, ids, mask, keep=1, cache=cache)[:, -1]
            if step < sampling.least_tokens:
                logits[:, ends] = -torch.inf
            token = draw(logits.float(), noise[:, step], sampling)
            ended = ended | torch.isin(token, ends)
            shown = token.masked_fill(ended, -1)
            ids = token.masked_fill(ended, 0).unsqueeze(1)
            mask = torch.cat([mask, (~ended).to(mask.dtype).unsqueeze(1)], dim=1)
        applied.update(dict(enumerate(counts)))
        tokens = shown.cpu()
        real = torch.cat([real, (tokens >= 0).to(real.dtype).unsqueeze(1)], dim=1)
        yield tokens.numpy()
        if bool((tokens < 0).all()):
            return


def draw(logits: torch.Tensor, uniform: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Return one token per row of ``[n_rows, n_vocabulary]``: the inverse of the cumulative distribution."""
    import torch

    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    n = logits.shape[-1]
    values, tokens = torch.topk(logits, min(sampling.top_k or n, n), dim=-1)
    share = torch.softmax(values / sampling.temperature, dim=-1)
    total = share.cumsum(dim=-1)
    if sampling.top_p < 1:
        share = share.masked_fill(total - share >= sampling.top_p, 0)
        total = share.cumsum(dim=-1)
    # The first token whose cumulated share exceeds the number; never one without a share.
    place = (total <= uniform.unsqueeze(1) * total[:, -1:]).sum(dim=-1, keepdim=True)
    last = (share > 0).sum(dim=-1, keepdim=True) - 1
    return tokens.gather(1, torch.minimum(place, last)).squeeze(1)


def forward(
    model: LanguageModel, ids: torch.Tensor, mask: torch.Tensor, *, keep: int, cache: Any = None
) -> torch.Tensor:
    """Return the logits ``[n_rows, keep, n_vocabulary]`` of the last positions; `cache` grows by `ids`."""
    options: dict[str, Any] = {"use_cache": cache is not None}
    if "position_ids" in model.arguments:
        position = (mask.cumsum(dim=1) - 1).clamp(min=0)
        options["position_ids"] = position[:, -ids.shape[1] :]
    if "logits_to_keep" in model.arguments:
        options["logits_to_keep"] = keep
    if cache is not None:
        options[cache_argument(model.arguments, model.name)] = cache
    logits = model.model(input_ids=ids, attention_mask=mask, **options).logits[:, -keep:]
    if cache is not None:
        check_cached(cache, mask.shape[1], model.name)
    return logits


def left_padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and attention mask ``[n_rows, width]`` of rows that end together."""
    import torch

    width = max(len(row) for row in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, width - len(row) :] = torch.as_tensor(row)
        mask[place, width - len(row) :] = 1
    return ids, mask


def _right_padded(rows: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    ids = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()


def end_ids(model: LanguageModel) -> list[int]:
    """Return the tokens that end an answer."""
    for settings in (getattr(model.model, "generation_config", None), model.model.config, model.tokenizer):
        ends = getattr(settings, "eos_token_id", None)
        if ends is not None:
            return list(ends) if isinstance(ends, list | tuple) else [int(ends)]
    return []
