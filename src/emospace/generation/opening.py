"""From which of its tokens on an answer is steered: once its gate has opened, and its thought is over.

A gate is read where nothing is steered yet: first over the prompt, before any of it is steered, then over prompt and
answer token by token. Once open it stays open, so that a vector never changes what its own gate reads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emospace.generation.decoding import CLOSE, OPEN, opens_thought

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel
    from emospace.steering import SteeringPlan
    from emospace.steering.gate import Gate

_SHOWN = 16
"""Tokens in whose text the mark of a thought is looked for."""


class GateState(NamedTuple):
    """What a gate did for an answer.

    Attributes
    ----------
    condition
        As it was given: ``anger > 0.5``.
    opened_after
        Tokens of the answer after which it opened, 0: in the prompt; None where it never did.
    readings
        What it read until then: of the prompt, then of prompt and answer after each token; in standard deviations above
        neutral text (valence and arousal: points on -1..1).
    """

    condition: str
    opened_after: int | None
    readings: tuple[float, ...]

    @property
    def said(self) -> str:
        """Whether it opened, and what it read, in words."""
        span = (
            f"it read {min(self.readings):.2f} to {max(self.readings):.2f}"
            if self.readings
            else "it read nothing"
        )
        if self.opened_after is None:
            return f"gate {self.condition} never opened: {span}"
        when = f"after {self.opened_after} tokens" if self.opened_after else "by the prompt"
        return f"gate {self.condition} opened {when}: it read {self.readings[-1]:.2f}"


class Opening:
    """From which token on an answer is steered.

    Parameters
    ----------
    prompt
        Its token ids.
    plan
        How it is steered, None for not at all.
    """

    def __init__(self, model: LanguageModel, prompt: Sequence[int], plan: SteeringPlan | None) -> None:
        self.gate: Gate | None = None if plan is None else plan.acting_gate
        self.readings: list[float] = []
        self._model = model
        self._scores: list[np.ndarray] = []
        self._from_gate = -math.inf if self.gate is None else math.inf
        waits = plan is not None and not plan.thoughts and expects_thought(model, prompt)
        self._from_answer = math.inf if waits else -math.inf
        self._is_opened = waits and bool(opens_thought(model, prompt))

    def copy(self) -> Opening:
        """Return another that has read the same so far."""
        other = copy(self)
        other.readings, other._scores = [*self.readings], [*self._scores]
        return other

    @property
    def begins(self) -> float:
        """Index in the answer of the first token that is steered, infinite where none is; the prompt's are negative."""
        return max(self._from_gate, self._from_answer)

    @property
    def is_closed(self) -> bool:
        """Whether nothing is steered yet."""
        return self.begins == math.inf

    @property
    def is_read(self) -> bool:
        """Whether its gate is still closed."""
        return self._from_gate == math.inf

    def state(self) -> GateState | None:
        """Return what its gate did, None without a gate."""
        if self.gate is None:
            return None
        after = None if self.is_read else int(max(self._from_gate, 0))
        return GateState(str(self.gate), after, tuple(self.readings))

    def read(self, scores: np.ndarray, following: float) -> None:
        """Read on by the scores of some tokens ``[n_tokens, 1]``; a gate that opens does so from token `following` on."""
        assert self.gate is not None
        self._scores.append(scores)
        text = np.concatenate(self._scores)
        if not len(text):
            return
        self.readings.append(self.gate.text_score(text))
        if self.gate.condition.holds(self.readings[-1]):
            self._from_gate = following

    def hear(self, tokens: Sequence[int]) -> None:
        """Note whether the thought is over with the tokens so far, or the answer began without one."""
        if self._from_answer != math.inf:
            return
        shown = self._model.tokenizer.decode(tokens[-_SHOWN:], skip_special_tokens=False).lstrip()
        is_thought = (
            self._is_opened or len(tokens) > _SHOWN or shown.startswith(OPEN) or OPEN.startswith(shown)
        )
        if CLOSE in shown or not is_thought:
            # The mark itself is steered: the answer's first token is drawn from its state.
            self._from_answer = len(tokens) - 1


def expects_thought(model: LanguageModel, prompt: Sequence[int]) -> bool:
    """Return whether a thought goes before the answer to a prompt: opened in it, or left to the model to open."""
    if opens_thought(model, prompt):
        return True
    template = str(model.tokenizer.chat_template or "")
    if CLOSE not in template and CLOSE not in model.tokenizer.get_vocab():
        return False
    end = str(model.tokenizer.decode(list(prompt[-_SHOWN:]), skip_special_tokens=False)).rstrip()
    return not end.endswith(CLOSE)


def read_states(openings: Sequence[tuple[Opening, torch.Tensor, float]]) -> None:
    """Let openings read states, those of one gate together.

    Parameters
    ----------
    openings
        With the states ``[n_tokens, d_model]`` of the tokens that are new to each, and the index of the token after them.
    """
    by_gate: dict[int, list[tuple[Opening, torch.Tensor, float]]] = {}
    for part in openings:
        by_gate.setdefault(id(part[0].gate), []).append(part)
    for parts in by_gate.values():
        gate = parts[0][0].gate
        assert gate is not None
        states = [states.float().cpu().numpy() for _, states, _ in parts]
        scores = gate.token_scores(np.concatenate(states))
        ends = np.cumsum([len(rows) for rows in states])[:-1]
        for (opening, _, following), rows in zip(parts, np.split(scores, ends), strict=True):
            opening.read(rows, following)
