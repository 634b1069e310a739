"""Gates: a vector acts on an answer once an emotion is read in its prompt or in what is said so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emospace.specs import Condition


@dataclass(frozen=True, eq=False)
class Gate:
    """A condition on what is read in a text, and how it is read; made by `emospace.reading.make_gate`.

    Attributes
    ----------
    condition
        The emotion (or valence, arousal), the threshold, and whether the gate opens above or below it.
    layer
        The layer whose states are read: the residual stream after so many blocks.
    token_scores
        From float32 states ``[n_tokens, d_model]`` to their scores ``[n_tokens, 1]``.
    text_score
        From the scores of all tokens of a text ``[n_tokens, 1]`` to its reading, in the unit of `emospace read`.
    low, high
        The lowest and the highest reading of words where they are felt: thresholds lie between them.
    """

    condition: Condition
    layer: int
    token_scores: Callable[[np.ndarray], np.ndarray]
    text_score: Callable[[np.ndarray], float]
    low: float
    high: float

    def __str__(self) -> str:
        return str(self.condition)
