"""Answers generated together: rows join and leave one batch, each with its own vector, prompt and sampling."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emospace.evaluation.generation import draw, end_ids, forward, left_padded, positions_of
from emospace.models.decoding import EMPTY, Parts, decode
from emospace.server.text import Text
from emospace.specs import Sampling
from emospace.steering.rows import RowSteering

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel
    from emospace.steering.hooks import Steering

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Event:
    """What happened to an answer: a piece of text, its end, or a failure."""

    index: int
    piece: Parts = EMPTY
    finish: Finish | None = None
    error: Exception | None = None

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
    emit
        Called from the engine's thread with each `Event`.
    index
        Its number in its request.
    deadline
        On the clock of `time.monotonic`.
    opened
        Whether the prompt ends in a thought, None where none is looked for.
    n_tokens, applications
        Tokens so far (the one that ends an answer is not counted), and states its vector has changed.
    """

    prompt: Sequence[int]
    sampling: Sampling
    emit: Callable[[Event], None]
    steering: Steering | None = None
    stops: Sequence[str] = ()
    index: int = 0
    opened: bool | None = None
    deadline: float = float("inf")
    n_tokens: int = 0
    applications: int = 0
    cancelled: bool = False
    finished: bool = False
    asked: float = field(default_factory=time.monotonic)
    text: Text | None = None

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng([self.sampling.seed, self.index])

    def cancel(self) -> None:
        """Give the answer up; its row is free at the next token."""
        self.cancelled = True

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.finished or self.cancelled

    def take(self, token: int, ends: frozenset[int]) -> None:
        """Add a token and emit what it adds to the text."""
        assert self.text is not None
        if token in ends:
            self._end("stop")
            return
        self.n_tokens += 1
        piece = self.text.push(token)
        if self.text.stopped:
            self._end("stop", piece)
        elif self.n_tokens == self.sampling.n_tokens or time.monotonic() > self.deadline:
            self._end("length", piece)
        elif any(piece):
            self._emit(Event(self.index, piece))

    def fail(self, error: Exception) -> None:
        """End the answer with an error."""
        self.finished = True
        self._emit(Event(self.index, error=error))

    def _end(self, finish: Finish, piece: Parts = EMPTY) -> None:
        assert self.text is not None
        self.finished = True
        self._emit(Event(self.index, piece.then(self.text.close()), finish))

    def _emit(self, event: Event) -> None:
        try:
            self.emit(event)
        except RuntimeError:  # whoever listened is gone with its event loop
            self.cancelled = True


class Batch:
    """The rows being generated and their key-value cache, padded on the left to one width.

    A row's greedy answer is the one it gives alone, but for rounding: its positions count from its own first token,
    padding is masked, its vector touches no other row.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.rows: list[Answer] = []
        self.ends = frozenset(end_ids(model))
        self._cache: Any = None
        self._mask: Any = None  # [rows, width] on the host: 1 where a row has a token
        self._next: list[int] = []
        self._attached = ExitStack()
        self._attach(RowSteering(model, []))

    def join(self, answers: Sequence[Answer]) -> None:
        """Run the prompts of answers, give each its first token and put them beside the rows there are."""
        from transformers import DynamicCache

        for answer in answers:
            answer.text = Text(partial(decode, self.model), answer.stops, answer.opened)
        ids, mask = left_padded([answer.prompt for answer in answers])
        answered, real = positions_of(0, mask)
        # Without the config a cache keeps all keys of sliding layers too, whose masks see to the rest.
        cache = DynamicCache()
        steering = RowSteering(self.model, [answer.steering for answer in answers])
        with steering.attached():
            tokens = self._run(answers, steering, ids, mask, answered, real, cache)
        # Whatever fails up to here leaves the rows under way as they are.
        together = RowSteering(self.model, [row.steering for row in (*self.rows, *answers)])
        if self.rows:
            self._merge(cache, mask)
        else:
            self._cache, self._mask = cache, mask
        self.rows += answers
        self._next += tokens
        self._attach(together)
        self._take(answers, tokens)

    def step(self) -> None:
        """Give every row its next token."""
        import torch

        ids = torch.tensor(self._next).unsqueeze(1)
        self._mask = torch.cat([self._mask, torch.ones_like(ids)], dim=1)
        answered = torch.tensor([[row.n_tokens - 1] for row in self.rows])
        real = torch.ones_like(answered, dtype=torch.bool)
        self._next = self._run(self.rows, self._steering, ids, self._mask, answered, real, self._cache)
        self._take(self.rows, self._next)

    def leave(self) -> list[Answer]:
        """Take out the rows that are over and return them."""
        import torch

        gone = [row for row in self.rows if row.over]
        if not gone:
            return gone
        kept = [place for place, row in enumerate(self.rows) if not row.over]
        self.rows = [self.rows[place] for place in kept]
        self._next = [self._next[place] for place in kept]
        if not kept:
            self._cache = self._mask = None
        else:
            self._mask = self._mask[torch.tensor(kept)]
            unused = int(self._mask.argmax(dim=1).min())
            self._mask = self._mask[:, unused:]
            chosen = torch.tensor(kept)
            for layer in self._cache.layers:
                rows = chosen.to(layer.keys.device)
                layer.keys = layer.keys[rows, :, unused:]
                layer.values = layer.values[rows, :, unused:]
        self._steer()
        return gone

    def clear(self) -> list[Answer]:
        """Drop everything, whatever state it is in, and return the rows there were."""
        rows, self.rows, self._next = self.rows, [], []
        self._cache = self._mask = None
        self._steer()
        return rows

    def _steer(self) -> None:
        self._attach(RowSteering(self.model, [row.steering for row in self.rows]))

    def _attach(self, steering: RowSteering) -> None:
        self._attached.close()
        self._steering = self._attached.enter_context(steering.attached())

    def _take(self, answers: Sequence[Answer], tokens: Sequence[int]) -> None:
        for answer, token in zip(answers, tokens, strict=True):
            if not answer.over:
                answer.take(token, self.ends)

    def _run(
        self,
        answers: Sequence[Answer],
        steering: RowSteering,
        ids: torch.Tensor,
        mask: torch.Tensor,
        answered: torch.Tensor,
        real: torch.Tensor,
        cache: Any,
    ) -> list[int]:
        """Return the next token of each row of a forward pass."""
        import torch

        device = self.model.device
        with torch.inference_mode(), steering.on(answered, real) as counts:
            logits = forward(self.model, ids.to(device), mask.to(device), keep=1, cache=cache)[:, -1].float()
            # A dose beyond all measure can make numbers of a row overflow; the others must not suffer for it.
            tokens = _draw_rows(torch.nan_to_num(logits), answers)
        for answer, count in zip(answers, counts, strict=True):
            answer.applications += count
        return tokens

    def _merge(self, cache: Any, mask: torch.Tensor) -> None:
        """Put another cache's rows below, both padded on the left to the wider one; all of it, or nothing."""
        import torch
        from torch.nn.functional import pad

        n_rows, before = self._mask.shape
        width = max(before, mask.shape[1])
        merged = torch.cat([pad(one, (width - one.shape[1], 0)) for one in (self._mask, mask)])
        with torch.inference_mode():
            try:
                for mine, other in zip(self._cache.layers, cache.layers, strict=True):
                    for name in ("keys", "values"):
                        parts = [getattr(layer, name) for layer in (mine, other)]
                        padded = [pad(part, (0, 0, width - part.shape[-2], 0)) for part in parts]
                        setattr(mine, name, torch.cat(padded))
            except BaseException:
                # Layer by layer, so that no second cache is held; back by views, which take no memory.
                for mine in self._cache.layers:
                    mine.keys = mine.keys[:n_rows, :, -before:]
                    mine.values = mine.values[:n_rows, :, -before:]
                raise
        self._mask = merged


def _draw_rows(logits: torch.Tensor, answers: Sequence[Answer]) -> list[int]:
    """Return one token a row, each by its own sampling and its own random numbers."""
    import torch

    noise = torch.tensor([float(answer.rng.random(dtype=np.float32)) for answer in answers])
    noise = noise.to(logits.device)
    groups: dict[tuple[float, int, float], list[int]] = {}
    for place, answer in enumerate(answers):
        sampling = answer.sampling
        groups.setdefault((sampling.temperature, sampling.top_k, sampling.top_p), []).append(place)
    tokens = [0] * len(answers)
    for places in groups.values():
        drawn = draw(logits[places], noise[places], answers[places[0]].sampling)
        for place, token in zip(places, drawn.tolist(), strict=True):
            tokens[place] = token
    return tokens
