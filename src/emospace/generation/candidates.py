"""Candidates: texts for one answer, drawn beside each other, of which the best goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.generation.answering import Answer

if TYPE_CHECKING:
    from emospace.specs import Sampling
    from emospace.steering import SteeringPlan

COSINE_OF_NAT = 0.015
"""Cosine of the tone that a nat of a token's unsteered log-probability is worth in a choice."""

COSINE_OF_REPEATS = 0.4
"""Cosine that a block costs in a choice whose every pair of tokens stood in the answer before."""


def begin_answer(
    prompt: Sequence[int], sampling: Sampling, plan: SteeringPlan | None = None, index: int = 0, **client: Any
) -> Answer:
    """Return an answer that is not begun, with the rivals that its guidance asks for.

    Parameters
    ----------
    prompt
        Token ids.
    sampling, plan, index
        As of `Answer`; at temperature 0 all candidates would be alike, so there is one.
    client
        What only the answer itself has: `Answer.emit`, `Answer.stops` and the like.
    """
    guidance = None if plan is None else plan.acting_guidance
    answer = Answer(prompt, sampling, plan, index, **client)
    # The likeliest tokens are always the same.
    n = 1 if guidance is None or sampling.temperature == 0 else guidance.candidates or 1
    if guidance is not None and n > 1:
        rivals = (
            Answer(prompt, sampling, plan, index, deadline=answer.deadline, branch=branch)
            for branch in range(1, n)
        )
        group = Candidates((answer, *rivals), guidance.block or 0)
        for candidate in group.answers:
            candidate.group = group
    return answer


@dataclass(eq=False)
class Candidates:
    """The candidates for one answer.

    Attributes
    ----------
    answers
        They have the same prompt and plan, and differ in `Answer.branch`. What the first says is what was chosen.
    block
        Tokens after which all go on from the best; 0 to choose among whole answers.
    n_shared
        Tokens at the last choice, which all candidates begin with.
    is_decided
        Whether the last choice is made.
    """

    answers: Sequence[Answer]
    block: int = 0
    n_shared: int = 0
    is_decided: bool = False

    @property
    def is_due(self) -> bool:
        """Whether a block is full, or every candidate has ended."""
        going = [answer.n_tokens for answer in self.answers if not answer.ended]
        is_full = bool(going and self.block) and max(going) >= self.n_shared + self.block
        return not self.is_decided and (is_full or not going)

    @property
    def best(self) -> Answer:
        """The candidate whose tokens since the last choice are most of the tone and likeliest, the first of equals."""
        return max(self.answers, key=self.score)

    def choose(self) -> Answer:
        """Return the best, with which all candidates begin from here on."""
        best = self.best
        self.n_shared = best.n_tokens
        return best

    def say(self) -> None:
        """Let the first say what was chosen, which it has taken over by now."""
        first = self.answers[0]
        first.say(None if first.ended else self.n_shared)
        self.is_decided = first.ended

    def score(self, answer: Answer) -> float:
        """Return how much of the tone is read in an answer since the last choice, less what it costs, in cosines.

        The mean cosine of the unsteered model's states with the vector, the mean log-probability it gives the tokens,
        and the part of them that repeat a pair of tokens of the answer, so that repetition does not count as tone.
        """
        # The last token of a block is read in the first step after it.
        readings = answer.readings[max(self.n_shared - 1, 0) :]
        likelihoods = answer.unsteered[self.n_shared :]
        reading = float(np.mean(readings)) if readings else 0.0
        likelihood = float(np.mean(likelihoods)) if likelihoods else 0.0
        repeats = repeated(answer.tokens, self.n_shared)
        return reading + COSINE_OF_NAT * likelihood - COSINE_OF_REPEATS * repeats


def repeated(tokens: Sequence[int], start: int) -> float:
    """Return the part of the tokens from `start` on that end a pair of tokens seen before in the text, 0 for none."""
    pairs = list(pairwise(tokens))
    fresh = pairs[max(start - 1, 0) :]
    seen = set(pairs[: len(pairs) - len(fresh)])
    n_repeated = 0
    for pair in fresh:
        n_repeated += pair in seen
        seen.add(pair)
    return n_repeated / len(fresh) if fresh else 0.0
