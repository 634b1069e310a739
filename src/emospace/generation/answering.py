"""One answer while it is generated: what was asked, its tokens so far, and the events that report them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emospace.generation.decoding import EMPTY, AnswerStream, Parts
from emospace.specs import Sampling

if TYPE_CHECKING:
    from emospace.generation.candidates import Candidates
    from emospace.generation.opening import Opening
    from emospace.specs import Guidance
    from emospace.steering import SteeringPlan

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Event:
    """What happened to an answer: a piece of text, its end, or a failure.

    `shift` is the log-probability, steered less unsteered, of the tokens since the last piece; 0 without guidance.
    `steered` says whether the last of them was drawn from a steered state.
    """

    index: int
    piece: Parts = EMPTY
    finish: Finish | None = None
    error: Exception | None = None
    shift: float = 0.0
    steered: bool = False

    @property
    def text(self) -> str:
        """What the piece adds to the answer, without the thought before it."""
        return self.piece.answer


@dataclass(eq=False)
class Answer:
    """One answer: what was asked, and how far it is.

    Attributes
    ----------
    prompt
        Token ids.
    plan
        How it is steered, None for not at all.
    index
        Its number, part of the seed.
    branch
        Its number among the candidates for one answer, part of the seed too.
    group
        The candidates it is one of, of which the first is what the client gets; None where it has no rivals.
    emit
        Called with each `Event`; without it no text is made while the tokens come.
    stops
        Texts that end it, where there is an `emit`.
    opened
        Whether the prompt ends in a thought, None where none is looked for.
    deadline
        On the clock of `time.monotonic`.
    tokens
        Those so far, without the one that ends the answer.
    shifts
        Of each of these tokens, its log-probability steered less unsteered; 0 without guidance.
    steered
        Of each of these tokens, whether the state it was drawn from was steered.
    opening
        From which token on it is steered; there once it has joined a batch.
    unsteered
        Of each token, the one that ends it included, its log-probability unsteered; 0 without guidance.
    readings
        Of each token that was run again, how far the unsteered state points along the vector, a cosine; 0 without
        guidance.
    applications
        States its vector has changed: token positions times layers.
    """

    prompt: Sequence[int]
    sampling: Sampling
    plan: SteeringPlan | None = None
    index: int = 0
    emit: Callable[[Event], None] | None = None
    stops: Sequence[str] = ()
    opened: bool | None = None
    deadline: float = float("inf")
    branch: int = 0
    group: Candidates | None = None
    tokens: list[int] = field(default_factory=list)
    shifts: list[float] = field(default_factory=list)
    steered: list[bool] = field(default_factory=list)
    opening: Opening | None = None
    unsteered: list[float] = field(default_factory=list)
    readings: list[float] = field(default_factory=list)
    applications: int = 0
    cancelled: bool = False
    finished: bool = False
    start: float = field(default_factory=time.monotonic)
    text: AnswerStream | None = None

    def __post_init__(self) -> None:
        self.uniforms = uniforms(self.sampling, self.index, self.branch)
        self._pending_shift = 0.0
        self._n_said = 0
        self._finish: Finish | None = None

    @property
    def guidance(self) -> Guidance | None:
        """How its tokens are chosen, None where it needs no unsteered row beside the steered one."""
        return None if self.plan is None else self.plan.acting_guidance

    @property
    def n_rows(self) -> int:
        """Rows of a batch that it takes."""
        return 1 if self.guidance is None else 2

    @property
    def n_tokens(self) -> int:
        """How many tokens it has so far."""
        return len(self.tokens)

    @property
    def reading(self) -> float:
        """The mean of its readings, 0 where there are none."""
        return float(np.mean(self.readings)) if self.readings else 0.0

    @property
    def ended(self) -> bool:
        """Whether it gets no more tokens, unless another candidate goes on in its row."""
        return self.finished or self.cancelled

    @property
    def over(self) -> bool:
        """Whether nothing more will come, of it or of its rivals."""
        return self.ended if self.group is None else all(answer.ended for answer in self.group.answers)

    @property
    def candidates(self) -> Sequence[Answer]:
        """It and its rivals."""
        return (self,) if self.group is None else self.group.answers

    def cancel(self) -> None:
        """Give the answer up; its rows are free at the next token."""
        for answer in self.candidates:
            answer.cancelled = True

    @property
    def begins(self) -> float:
        """Index in the answer of the first token that is steered, as far as that is known."""
        return -math.inf if self.opening is None else self.opening.begins

    def take(
        self,
        token: int,
        ends: Sequence[int],
        shift: float = 0.0,
        unsteered: float = 0.0,
        *,
        steered: bool = False,
    ) -> None:
        """Add a token, and say what it adds to the text where nothing is chosen yet to come."""
        self.unsteered.append(unsteered)
        if token in ends:
            self._finish = "stop"
        else:
            self.tokens.append(token)
            self.shifts.append(shift)
            self.steered.append(steered)
            if self.n_tokens == self.sampling.n_tokens or time.monotonic() > self.deadline:
                self._finish = "length"
        self.finished = self._finish is not None
        if self.group is None:
            self.say()

    def say(self, n_settled: int | None = None) -> None:
        """Emit what the tokens up to `n_settled` (None: all, and the end) add to what was said of the answer."""
        finish = self._finish if n_settled is None else None
        end = self.n_tokens if n_settled is None else n_settled
        piece = EMPTY
        for place in range(self._n_said, end):
            self._pending_shift += self.shifts[place]
            self._n_said = place + 1
            piece = EMPTY if self.text is None else self.text.push(self.tokens[place])
            if self.text is not None and self.text.stopped:
                finish = "stop"
                break
            # The last piece comes with the end.
            if any(piece) and (finish is None or place + 1 < end):
                self._emit(Event(self.index, piece, **self._since_last()))
                piece = EMPTY
        if finish is not None:
            for answer in self.candidates:
                answer.finished = True
            rest = EMPTY if self.text is None else self.text.close()
            self._emit(Event(self.index, piece.then(rest), finish, **self._since_last()))

    def resume(self, other: Answer) -> None:
        """Go on from where another candidate for the same answer is."""
        for name in ("tokens", "shifts", "steered", "unsteered", "readings"):
            getattr(self, name)[:] = getattr(other, name)
        self.finished, self._finish = other.finished, other._finish
        self.applications = other.applications
        self.opening = other.opening and other.opening.copy()

    def fail(self, error: Exception) -> None:
        """End the answer with an error."""
        self.finished = True
        self._emit(Event(self.index, error=error))

    def _since_last(self) -> dict[str, Any]:
        """Return what steering did to the tokens since it was last asked for."""
        shift, self._pending_shift = self._pending_shift, 0.0
        return {"shift": shift, "steered": bool(self._n_said and self.steered[self._n_said - 1])}

    def _emit(self, event: Event) -> None:
        if self.emit is not None:
            self.emit(event)


def uniforms(sampling: Sampling, index: int, branch: int = 0) -> np.ndarray:
    """Return one number ``[n_tokens]`` in 0..1 for each token of the answer with this number."""
    # The first candidate has the noise of an answer without rivals.
    seed = [sampling.seed, index, branch][: 3 if branch else 2]
    return np.random.default_rng(seed).random(sampling.n_tokens, dtype=np.float32)
