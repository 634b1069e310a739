"""The tokens of running texts and what is computed from the state of each; no text is cut short."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emospace.activations import token_states
from emospace.display import progress
from emospace.errors import InvalidInput

if TYPE_CHECKING:
    from emospace.models import LanguageModel

WINDOW = 512
"""Tokens a model sees at once; a longer text is read in windows that follow each other."""

TOKEN_BUDGET = 4096
_LEAST_SHOWN = 64


class Tokens(NamedTuple):
    """The tokens of one text: ``ids [n_tokens]`` and ``offsets [n_tokens, 2]``, where each lies in the text."""

    ids: np.ndarray
    offsets: np.ndarray


def tokenise(model: LanguageModel, texts: Sequence[str]) -> list[Tokens]:
    """Return the tokens of texts, special tokens left out.

    Raises
    ------
    EmospaceError
        If a text has no token, or the tokenizer gives no offsets.
    """
    if not model.tokenizer.is_fast:
        raise InvalidInput(
            f"tokenizer of '{model.name}'",
            "it gives no character offsets",
            "Use the model's fast tokenizer (tokenizer.json).",
        )
    if not texts:
        return []
    encoded = model.tokenizer(
        list(texts), add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False
    )
    tokens = []
    for number, (ids, offsets) in enumerate(
        zip(encoded["input_ids"], encoded["offset_mapping"], strict=True), 1
    ):
        if not ids:
            raise InvalidInput(
                f"text {number} of {len(texts)} ({texts[number - 1][:40]!r})",
                "the tokenizer makes nothing of it",
                "Leave empty texts out.",
            )
        tokens.append(Tokens(np.array(ids), np.array(offsets).reshape(-1, 2)))
    return tokens


def over_tokens(
    model: LanguageModel,
    texts: Sequence[Tokens],
    layer: int,
    compute: Callable[[np.ndarray], np.ndarray],
    *,
    window: int = WINDOW,
    autocast: bool = False,
    title: str = "Reading",
) -> list[np.ndarray]:
    """Return what `compute` makes of the state of every token, ``[n_tokens, m]`` for each text.

    Each window begins with the start token, which takes the first position; its state is not used.

    Parameters
    ----------
    compute
        From float32 states ``[n, d_model]`` to ``[n, m]``; called batch by batch, so that states need not be kept.
    autocast
        Run in bfloat16 where that is faster (about 1% error, and results depend on the batch in the last digits).
    """
    import torch

    config = getattr(model.model.config, "text_config", model.model.config)
    step = min(window, getattr(config, "max_position_embeddings", None) or window) - 1
    start = model.start_ids()[:1]
    rows = [
        (number, low, (*start, *tokens.ids[low : low + step].tolist()))
        for number, tokens in enumerate(texts)
        for low in range(0, len(tokens.ids), step)
    ]
    rows.sort(key=lambda row: len(row[2]), reverse=True)
    parts: list[dict[int, np.ndarray]] = [{} for _ in texts]
    total = len(texts) if len(texts) >= _LEAST_SHOWN else 0
    with progress(title, len(rows), "texts") if total else nullcontext() as advance:
        first = 0
        while first < len(rows):
            width = len(rows[first][2])
            batch = rows[first : first + max(1, TOKEN_BUDGET // width)]
            first += len(batch)
            ids = torch.zeros(len(batch), width, dtype=torch.long)
            inside = torch.zeros(len(batch), width, dtype=torch.bool)
            for index, (_, _, row) in enumerate(batch):
                ids[index, : len(row)] = torch.tensor(row)
                inside[index, 1 : len(row)] = True
            # Right padding changes nothing before it in a causal model, so no mask is needed.
            with torch.autocast(model.device.type, torch.bfloat16) if autocast else nullcontext():
                states = token_states(model, ids.to(model.device), layer)
            values = compute(states[inside.to(states.device)].float().cpu().numpy())
            ends = np.cumsum([len(row) - 1 for _, _, row in batch])
            for (number, low, _), part in zip(batch, np.split(values, ends[:-1]), strict=True):
                parts[number][low] = part
            if advance is not None:
                advance(len(batch))
    return [np.concatenate([part[low] for low in sorted(part)]) for part in parts]
