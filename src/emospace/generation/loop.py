"""The token loop: the rows of a batch each get their next token, with a plan, a prompt and a sampling of their own.

One token of one answer takes one uniform number, fixed by the seed, the number of the answer and the place of the
token: but for rounding an answer does not depend on its batch, and steered and unsteered answers share their noise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emospace.generation.decoding import EMPTY, AnswerStream, Parts, decode
from emospace.generation.forward import end_ids, forward, left_padded
from emospace.generation.guidance import Pairs
from emospace.specs import Sampling
from emospace.steering.hooks import RowSteering

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel
    from emospace.specs import Guidance
    from emospace.steering import SteeringPlan

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Event:
    """What happened to an answer: a piece of text, its end, or a failure.

    `shift` is the log-probability, steered less unsteered, of the tokens since the last piece; 0 without guidance.
    """

    index: int
    piece: Parts = EMPTY
    finish: Finish | None = None
    error: Exception | None = None
    shift: float = 0.0

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
    tokens: list[int] = field(default_factory=list)
    shifts: list[float] = field(default_factory=list)
    readings: list[float] = field(default_factory=list)
    applications: int = 0
    cancelled: bool = False
    finished: bool = False
    start: float = field(default_factory=time.monotonic)
    text: AnswerStream | None = None

    def __post_init__(self) -> None:
        self.uniforms = uniforms(self.sampling, self.index, self.branch)
        self._pending_shift = 0.0

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
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.finished or self.cancelled

    def cancel(self) -> None:
        """Give the answer up; its row is free at the next token."""
        self.cancelled = True

    def take(self, token: int, ends: Sequence[int], shift: float = 0.0) -> None:
        """Add a token and emit what it adds to the text."""
        if token in ends:
            self._end("stop")
            return
        self.tokens.append(token)
        self.shifts.append(shift)
        self._pending_shift += shift
        piece = EMPTY if self.text is None else self.text.push(token)
        if self.text is not None and self.text.stopped:
            self._end("stop", piece)
        elif self.n_tokens == self.sampling.n_tokens or time.monotonic() > self.deadline:
            self._end("length", piece)
        elif any(piece):
            self._emit(Event(self.index, piece, shift=self._shift_since_last()))

    def fail(self, error: Exception) -> None:
        """End the answer with an error."""
        self.finished = True
        self._emit(Event(self.index, error=error))

    def _end(self, finish: Finish, piece: Parts = EMPTY) -> None:
        self.finished = True
        rest = EMPTY if self.text is None else self.text.close()
        self._emit(Event(self.index, piece.then(rest), finish, shift=self._shift_since_last()))

    def _shift_since_last(self) -> float:
        """Return the shift of the tokens since it was last asked for."""
        shift, self._pending_shift = self._pending_shift, 0.0
        return shift

    def _emit(self, event: Event) -> None:
        if self.emit is not None:
            self.emit(event)


def run(model: LanguageModel, answers: Sequence[Answer]) -> Generator[None]:
    """Generate answers together, each to its end; yields after each of their tokens.

    The model is steered only while a token is computed, so that several runs may take turns.
    """
    batch = Batch(model, is_closed=True)
    try:
        batch.join(answers)
        yield
        while not all(answer.over for answer in answers):
            batch.step()
            yield
    finally:
        batch.clear()


class Batch:
    """The rows being generated and their key-value cache, padded on the left to one width.

    A row's greedy answer is the one it gives alone, but for rounding: its positions count from its own first token,
    padding is masked, its vector touches no other row. A guided answer has two rows (`emospace.generation.guidance`).

    Parameters
    ----------
    is_closed
        Whether all rows join at once and none leaves before all are over. The cache then drops what a sliding window
        has passed, and may hold recurrent states, which cannot be put beside one another.
    """

    def __init__(self, model: LanguageModel, *, is_closed: bool = False) -> None:
        self.model, self.is_closed = model, is_closed
        self.rows: list[Answer] = []
        self.ends = end_ids(model)
        self._cache: Any = None
        self._next: list[int] = []
        # On the device, [rows, width]: 1 where a row has a token.
        self._mask: torch.Tensor | None = None
        self._state: _OnDevice | None = None
        self._attached = ExitStack()
        self._attach()

    def join(self, answers: Sequence[Answer]) -> None:
        """Run the prompts of answers, give each its first token and put them beside the rows there are."""
        import torch
        from transformers import DynamicCache

        for answer in answers:
            if answer.emit is not None:
                answer.text = AnswerStream(partial(decode, self.model), answer.opened, answer.stops)
        pairs = Pairs([answer.guidance for answer in answers], self.model.device)
        ids, mask = left_padded([answers[place].prompt for place in pairs.answer_of])
        positions = torch.arange(-mask.shape[1], 0).expand(mask.shape), mask > 0
        ids, mask = ids.to(self.model.device), mask.to(self.model.device)
        # Without the config a cache keeps all keys of sliding layers too, whose masks see to the rest.
        cache = DynamicCache(config=self.model.model.config) if self.is_closed else DynamicCache()
        state = _OnDevice(answers, pairs, self.ends, self.model.device)
        # Whatever fails leaves the rows under way as they are.
        alone = self._steering_of(answers)
        with ExitStack() as attached:
            attached.enter_context(alone.attached())
            tokens, shifts, _ = self._run(answers, state, alone, ids, mask, positions, cache)
            if not self.rows:
                self._cache, self._mask, self._state = cache, mask, state
                self._steer(alone, attached.pop_all())
        if self.rows:
            together = self._steering_of((*self.rows, *answers))
            with ExitStack() as attached:
                attached.enter_context(together.attached())
                self._merge(cache, mask)
                self._steer(together, attached.pop_all())
            self._state = None
        self.rows += answers
        self._next += tokens
        self._take(answers, tokens, shifts)

    def step(self) -> None:
        """Give every row its next token."""
        import torch

        assert self._mask is not None
        if self._state is None:
            pairs = Pairs([row.guidance for row in self.rows], self.model.device)
            self._state = _OnDevice(self.rows, pairs, self.ends, self.model.device, self._next)
        alive = [not row.over for row in self.rows]
        ids, is_alive = self._state.next_ids(alive)
        self._mask = torch.cat([self._mask, is_alive.to(self._mask.dtype)], dim=1)
        rows = [self.rows[place] for place in self._state.pairs.answer_of]
        positions = (
            torch.tensor([[row.n_tokens - 1] for row in rows]),
            torch.tensor([[not row.over] for row in rows]),
        )
        self._next, shifts, readings = self._run(
            self.rows, self._state, self._steering, ids, self._mask, positions, self._cache
        )
        for row, reading in zip(self.rows, readings, strict=True):
            if not row.over:
                row.readings.append(reading)
        self._take(self.rows, self._next, shifts)

    def leave(self) -> list[Answer]:
        """Take out the rows that are over and return them."""
        import torch

        gone = [row for row in self.rows if row.over]
        if not gone:
            return gone
        kept = [place for place, row in enumerate(self.rows) if not row.over]
        places = [row for row in self.rows for _ in range(row.n_rows)]
        left = [place for place, row in enumerate(places) if not row.over]
        self.rows = [self.rows[place] for place in kept]
        self._next = [self._next[place] for place in kept]
        if not kept:
            self.clear()
            return gone
        assert self._mask is not None
        chosen = torch.tensor(left)
        # The newest token of a row is not run yet.
        longest = max(len(row.prompt) + row.n_tokens - 1 for row in self.rows)
        unused = self._mask.shape[1] - longest
        self._mask = self._mask[chosen.to(self._mask.device), unused:]
        for layer in self._cache.layers:
            rows = chosen.to(layer.keys.device)
            layer.keys = layer.keys[rows, :, unused:]
            layer.values = layer.values[rows, :, unused:]
        self._state = None
        self._attach()
        return gone

    def clear(self) -> list[Answer]:
        """Drop everything, whatever state it is in, and return the rows there were."""
        rows, self.rows, self._next = self.rows, [], []
        self._cache = self._mask = self._state = None
        self._attach()
        return rows

    def _attach(self) -> None:
        """Let the plans of the rows there are act in place of those that acted before."""
        steering, attached = self._steering_of(self.rows), ExitStack()
        attached.enter_context(steering.attached())
        self._steer(steering, attached)

    def _steer(self, steering: RowSteering, attached: ExitStack) -> None:
        self._attached.close()
        self._steering, self._attached = steering, attached

    def _steering_of(self, answers: Sequence[Answer]) -> RowSteering:
        plans = [plan for answer in answers for plan in (answer.plan, None)[: answer.n_rows]]
        read = [plan for answer in answers for plan in (None, answer.plan)[: answer.n_rows]]
        return RowSteering(self.model, plans, read)

    def _take(self, answers: Sequence[Answer], tokens: Sequence[int], shifts: Sequence[float]) -> None:
        for answer, token, shift in zip(answers, tokens, shifts, strict=True):
            if not answer.over:
                answer.take(token, self.ends, shift)

    def _run(
        self,
        answers: Sequence[Answer],
        state: _OnDevice,
        steering: RowSteering,
        ids: torch.Tensor,
        mask: torch.Tensor,
        positions: tuple[torch.Tensor, torch.Tensor],
        cache: Any,
    ) -> tuple[list[int], Sequence[float], Sequence[float]]:
        """Return the next token of each answer of a forward pass, its shift, and the reading of the token before."""
        import torch

        with torch.inference_mode(), steering.on(*positions) as counts:
            logits = forward(self.model, ids, mask, keep=1, cache=cache)[:, -1].float()
            # A dose beyond all measure can make numbers of a row overflow; the others must not suffer for it.
            tokens = state.draw(state.pairs.guided(logits.nan_to_num_()), answers)
            shifts, readings = state.figures(steering)
        for place, count in zip(state.pairs.answer_of, counts, strict=True):
            answers[place].applications += count
        return tokens, shifts, readings

    def _merge(self, cache: Any, mask: torch.Tensor) -> None:
        """Put another cache's rows below, both padded on the left to the wider one; all of it, or nothing."""
        import torch
        from torch.nn.functional import pad

        assert self._mask is not None
        n_rows, before = self._mask.shape
        width = max(before, mask.shape[1])
        merged = torch.cat([pad(part, (width - part.shape[1], 0)) for part in (self._mask, mask)])
        with torch.inference_mode():
            try:
                for upper, lower in zip(self._cache.layers, cache.layers, strict=True):
                    for name in ("keys", "values"):
                        parts = [getattr(layer, name) for layer in (upper, lower)]
                        padded = [pad(part, (0, 0, width - part.shape[-2], 0)) for part in parts]
                        setattr(upper, name, torch.cat(padded))
            except BaseException:
                # Layer by layer, so that no second cache is held; back by views, which take no memory.
                for upper in self._cache.layers:
                    upper.keys = upper.keys[:n_rows, :, -before:]
                    upper.values = upper.values[:n_rows, :, -before:]
                raise
        self._mask = merged


class _OnDevice:
    """What the next tokens of rows are made of, on the device: copied there when rows come, go or end.

    Parameters
    ----------
    next_tokens
        Of each row, the newest token; none before the first.
    """

    def __init__(
        self,
        rows: Sequence[Answer],
        pairs: Pairs,
        ends: Sequence[int],
        device: Any,
        next_tokens: Sequence[int] = (),
    ) -> None:
        import torch

        self.pairs = pairs
        noise = np.zeros((len(rows), max(len(row.uniforms) for row in rows)), dtype=np.float32)
        alike: dict[tuple[float, int, float], list[int]] = {}
        for place, row in enumerate(rows):
            noise[place, : len(row.uniforms)] = row.uniforms
            sampling = row.sampling
            alike.setdefault((sampling.temperature, sampling.top_k, sampling.top_p), []).append(place)
        self._uniforms = torch.as_tensor(noise).to(device)
        self._place = torch.tensor([[row.n_tokens] for row in rows]).to(device)
        self._ends = torch.tensor(ends, dtype=torch.int64).to(device)
        self._groups = [
            (rows[places[0]].sampling, torch.tensor(places).to(device)) for places in alike.values()
        ]
        self._tokens = torch.tensor(next_tokens, dtype=torch.int64).to(device)
        self._alive = [True] * len(rows)
        self._is_alive = torch.ones((len(rows), 1), dtype=torch.bool, device=device)

    def next_ids(self, alive: list[bool]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the token ids that are run next, and which rows are alive, both ``[n_rows, 1]``, pairs alike."""
        import torch

        if alive != self._alive:
            self._alive = alive
            self._is_alive = torch.tensor(alive).unsqueeze(1).to(self._is_alive.device)
        ids = self._tokens.unsqueeze(1).masked_fill(~self._is_alive, 0)
        return self.pairs.spread(ids), self.pairs.spread(self._is_alive)

    def figures(self, steering: RowSteering) -> tuple[Sequence[float], Sequence[float]]:
        """Return shifts and readings of the answers: one copy, and none where no answer is guided."""
        if not self.pairs.n_guided:
            alone = [0.0] * len(self._alive)
            return alone, alone
        shifts, readings = self.pairs.figures(self._tokens, steering.reading()).tolist()
        return shifts, readings

    def draw(self, logits: torch.Tensor, rows: Sequence[Answer]) -> list[int]:
        """Return one token a row, each by its own sampling and its own random numbers."""
        import torch

        early = [place for place, row in enumerate(rows) if row.n_tokens < row.sampling.least_tokens]
        if len(early) == len(rows):
            logits[:, self._ends] = -torch.inf
        elif early:
            logits[torch.tensor(early).to(logits.device).unsqueeze(1), self._ends] = -torch.inf
        noise = self._uniforms.gather(1, self._place.clamp(max=self._uniforms.shape[1] - 1)).squeeze(1)
        self._place = self._place + 1
        if len(self._groups) == 1:
            self._tokens = draw(logits, noise, self._groups[0][0])
        else:
            self._tokens = torch.empty(len(rows), dtype=torch.int64, device=logits.device)
            for sampling, places in self._groups:
                self._tokens[places] = draw(logits[places], noise[places], sampling)
        return [int(token) for token in self._tokens.tolist()]


def uniforms(sampling: Sampling, index: int, branch: int = 0) -> np.ndarray:
    """Return one number ``[n_tokens]`` in 0..1 for each token of the answer with this number."""
    # The first candidate has the noise of an answer without rivals.
    seed = [sampling.seed, index, branch][: 3 if branch else 2]
    return np.random.default_rng(seed).random(sampling.n_tokens, dtype=np.float32)


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
