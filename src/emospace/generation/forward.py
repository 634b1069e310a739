"""A forward pass over rows of different lengths, and how likely it makes the tokens of answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.generation.guidance import Pairs
from emospace.generation.packing import packed
from emospace.models import cache_argument, check_cached
from emospace.steering.hooks import RowSteering

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel
    from emospace.steering import SteeringPlan

Tokens = Sequence[int] | np.ndarray


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
    with packed(model):
        logits = model.model(input_ids=ids, attention_mask=mask, **options).logits[:, -keep:]
    if cache is not None:
        check_cached(cache, mask.shape[1], model.name)
    return logits


def perplexities(
    model: LanguageModel, prompts: Sequence[Tokens], answers: Sequence[Tokens], batch_size: int
) -> np.ndarray:
    """Return ``exp(mean negative log-likelihood)`` ``[n_answers]`` of tokens after those of their prompts.

    An answer without a token has NaN.
    """
    import torch
    from torch.nn.functional import cross_entropy
    from torch.nn.utils.rnn import pad_sequence

    scores = np.full(len(prompts), np.nan)
    filled = [index for index in range(len(prompts)) if len(answers[index])]
    for batch in batches([prompts[index] for index in filled], batch_size):
        chosen = [filled[place] for place in batch]
        ids, mask = left_padded([prompts[index] for index in chosen])
        lengths = torch.tensor([len(answers[index]) for index in chosen])
        answer = pad_sequence([torch.as_tensor(answers[index]) for index in chosen], batch_first=True)
        real = (torch.arange(answer.shape[1]) < lengths[:, None]).long()
        with torch.inference_mode():
            logits = forward(
                model,
                torch.cat([ids, answer], dim=1).to(model.device),
                torch.cat([mask, real], dim=1).to(model.device),
                keep=answer.shape[1] + 1,
            )[:, :-1]
            for index, row, tokens, n in zip(
                chosen, logits, answer.to(logits.device), lengths.tolist(), strict=True
            ):
                scores[index] = float(cross_entropy(row[:n].float(), tokens[:n]).exp())
    return scores


def first_scores(
    model: LanguageModel, prompts: Sequence[Tokens], plan: SteeringPlan | None = None, batch_size: int = 40
) -> np.ndarray:
    """Return the log-probability of every first token of an answer ``[n_prompts, n_vocabulary]``, steered by a plan.

    Guidance counts but for `Guidance.plausible`, which would leave most tokens without a probability.
    """
    import torch

    guidance = None if plan is None else plan.acting_guidance
    if guidance is not None:
        guidance = guidance.model_copy(update={"plausible": 0.0})
    rows: list[np.ndarray] = [np.empty(0)] * len(prompts)
    for batch in batches(prompts, batch_size):
        pairs = Pairs([guidance] * len(batch), model.device)
        ids, mask = left_padded([prompts[batch[place]] for place in pairs.answer_of])
        steering = RowSteering(model, [None if apart else plan for apart in pairs.is_reference])
        answered = torch.arange(-mask.shape[1], 0).expand(mask.shape)
        with torch.inference_mode(), steering.attached(), steering.on(answered, mask > 0):
            logits = forward(model, ids.to(model.device), mask.to(model.device), keep=1)[:, -1].float()
            scores = pairs.guided(logits.nan_to_num_()).log_softmax(dim=-1).cpu().numpy()
        for index, row in zip(batch, scores, strict=True):
            rows[index] = row
    return np.stack(rows)


def batches(rows: Sequence[Tokens], size: int) -> Iterator[list[int]]:
    """Yield row numbers in batches of like length, so that little is padding."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def left_padded(rows: Sequence[Tokens]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and attention mask ``[n_rows, width]`` of rows that end together."""
    import torch

    width = max(len(row) for row in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, width - len(row) :] = torch.as_tensor(row)
        mask[place, width - len(row) :] = 1
    return ids, mask


def end_ids(model: LanguageModel) -> list[int]:
    """Return the tokens that end an answer."""
    for settings in (getattr(model.model, "generation_config", None), model.model.config, model.tokenizer):
        ends = getattr(settings, "eos_token_id", None)
        if ends is not None:
            return list(ends) if isinstance(ends, list | tuple) else [int(ends)]
    return []
