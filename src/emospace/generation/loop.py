"""The token loop: the rows of a batch each get their next token, with a plan, a prompt and a sampling of their own.

One token of one answer takes one uniform number, fixed by the seed, the number of the answer and the place of the
token: but for rounding an answer does not depend on its batch, and steered and unsteered answers share their noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from emospace.generation.answering import Answer
from emospace.generation.decoding import AnswerStream, decode
from emospace.generation.forward import end_ids, forward, left_padded
from emospace.generation.guidance import Pairs
from emospace.generation.opening import Opening, read_states
from emospace.specs import Sampling
from emospace.steering.hooks import RowSteering
from emospace.steering.watch import Watch

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel
    from emospace.steering import SteeringPlan


class _Run(NamedTuple):
    """What a forward pass gives each answer: its next token, how that was steered, and the reading of the one before."""

    tokens: list[int]
    shifts: Sequence[float]
    unsteered: Sequence[float]
    readings: Sequence[float]
    steered: Sequence[bool]


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
        self._marks = frozenset(model.tokenizer.all_special_ids)
        self._cache: Any = None
        self._next: list[int] = []
        # On the device, [rows, width]: 1 where a row has a token.
        self._mask: torch.Tensor | None = None
        self._state: _OnDevice | None = None
        self._attached = ExitStack()
        self._attach()

    def join(self, answers: Sequence[Answer]) -> None:
        """Run the prompts of answers and their rivals, give each its first token and put them beside the rows there are."""
        import torch
        from transformers import DynamicCache

        for answer in answers:
            answer.opening = Opening(self.model, answer.prompt, answer.plan)
        self._read_prompts(answers)
        for answer in answers:
            # Rivals have one prompt and plan, so what their gate reads there is read once.
            for rival in answer.candidates[1:]:
                assert answer.opening is not None
                rival.opening = answer.opening.copy()
        answers = [candidate for answer in answers for candidate in answer.candidates]
        for answer in answers:
            if answer.emit is not None:
                answer.text = AnswerStream(partial(decode, self.model), answer.opened, answer.stops)
        pairs = Pairs([answer.guidance for answer in answers], self.model.device)
        read, copies = _read_once(answers, pairs)
        ids, mask = left_padded([prompt for prompt, _, _ in read])
        positions = torch.arange(-mask.shape[1], 0).expand(mask.shape), mask > 0
        ids, mask = ids.to(self.model.device), mask.to(self.model.device)
        # Without the config a cache keeps all keys of sliding layers too, whose masks see to the rest.
        cache = DynamicCache(config=self.model.model.config) if self.is_closed else DynamicCache()
        state = _OnDevice(answers, pairs, self.ends, self.model.device)
        is_shared = len(read) < len(copies)
        reading = (
            RowSteering(self.model, [plan for _, plan, _ in read])
            if is_shared
            else self._steering_of(answers)
        )
        reading.begins = [begins for _, _, begins in read]
        # Whatever fails leaves the rows under way as they are.
        with ExitStack() as attached:
            attached.enter_context(reading.attached())
            run = self._run(answers, state, reading, ids, mask, positions, cache, copies)
            if not (self.rows or is_shared):
                self._steer(reading, attached.pop_all())
        if is_shared:
            rows = torch.tensor(copies)
            mask = mask[rows.to(mask.device)]
            cache.reorder_cache(rows.to(self.model.device))
        if self.rows or is_shared:
            together = self._steering_of((*self.rows, *answers))
            with ExitStack() as attached:
                attached.enter_context(together.attached())
                if self.rows:
                    self._merge(cache, mask)
                self._steer(together, attached.pop_all())
        if self.rows:
            self._state = None
        else:
            self._cache, self._mask, self._state = cache, mask, state
        self.rows += answers
        self._next += run.tokens
        self._take(answers, run)
        self._choose()

    def step(self) -> None:
        """Give every row its next token."""
        import torch

        assert self._mask is not None
        if self._state is None:
            pairs = Pairs([row.guidance for row in self.rows], self.model.device)
            self._state = _OnDevice(self.rows, pairs, self.ends, self.model.device, self._next)
        alive = [not row.ended for row in self.rows]
        ids, is_alive = self._state.next_ids(alive)
        self._mask = torch.cat([self._mask, is_alive.to(self._mask.dtype)], dim=1)
        rows = [self.rows[place] for place in self._state.pairs.answer_of]
        positions = (
            torch.tensor([[row.n_tokens - 1] for row in rows]),
            torch.tensor([[not row.ended] for row in rows]),
        )
        self._steering.begins = [row.begins for row in rows]
        run = self._run(self.rows, self._state, self._steering, ids, self._mask, positions, self._cache)
        self._next = run.tokens
        for row, reading in zip(self.rows, run.readings, strict=True):
            if not row.ended:
                row.readings.append(reading)
        self._read_tokens()
        self._take(self.rows, run)
        self._choose()

    def _choose(self) -> None:
        """Let all candidates for an answer go on from the best of them, where a block of their tokens is full."""
        groups = {id(row.group): row.group for row in self.rows if row.group is not None}
        due = [group for group in groups.values() if group.is_due and not group.answers[0].cancelled]
        chosen = [(group.answers, group.choose()) for group in due]
        best = {id(answer): choice for answers, choice in chosen for answer in answers}
        changed = [answer for answer in self.rows if best.get(id(answer), answer) is not answer]
        if changed:
            self._take_over(best, changed)
        for group in due:
            group.say()

    def _take_over(self, best: Mapping[int, Answer], changed: Sequence[Answer]) -> None:
        """Put keys, values and text of the best candidates, by the `id` of each, in the places of those that changed."""
        import torch

        assert self._mask is not None
        places = {id(answer): place for place, answer in enumerate(self.rows)}
        sources = [places[id(best.get(id(answer), answer))] for answer in self.rows]
        # The rows of an answer stand next to each other; those of its candidates are as many.
        first = [0, *accumulate(answer.n_rows for answer in self.rows)]
        places_of = [(first[source], row.n_rows) for source, row in zip(sources, self.rows, strict=True)]
        rows = torch.tensor([start + n for start, n_rows in places_of for n in range(n_rows)])
        self._mask = self._mask[rows.to(self._mask.device)]
        self._cache.reorder_cache(rows.to(self.model.device))
        self._next = [self._next[source] for source in sources]
        for answer in changed:
            answer.resume(best[id(answer)])
        self._state = None

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
        gates = [answer.plan and answer.plan.acting_gate for answer in answers]
        return RowSteering(self.model, plans, read, {gate.layer for gate in gates if gate})

    def _take(self, answers: Sequence[Answer], run: _Run) -> None:
        columns = (run.tokens, run.shifts, run.unsteered, run.steered)
        for answer, token, shift, unsteered, steered in zip(answers, *columns, strict=True):
            if not answer.ended:
                answer.take(token, self.ends, shift, unsteered, steered=steered)
                if answer.opening is not None:
                    answer.opening.hear(answer.tokens)

    def _read_prompts(self, answers: Sequence[Answer]) -> None:
        """Let the gates of answers read their prompts, unsteered, before any of these is run for good."""
        import torch

        openings = [
            (answer, answer.opening) for answer in answers if answer.opening and answer.opening.is_read
        ]
        if not openings:
            return
        ids, mask = left_padded([answer.prompt for answer, _ in openings])
        watch = Watch(self.model.blocks, {opening.gate.layer for _, opening in openings if opening.gate})
        with torch.inference_mode(), watch.attached():
            forward(self.model, ids.to(self.model.device), mask.to(self.model.device), keep=1)
            parts = []
            for place, (answer, opening) in enumerate(openings):
                assert opening.gate is not None
                # As a reader does: neither the first position nor the template's marks are words of the text.
                first = ids.shape[1] - len(answer.prompt)
                kept = [first + n for n, token in enumerate(answer.prompt) if n and token not in self._marks]
                parts.append((opening, watch.states[opening.gate.layer][place, kept], -math.inf))
            read_states(parts)

    def _read_tokens(self) -> None:
        """Let the gates that are closed read the tokens that were just run."""
        places, place = [], 0
        for row in self.rows:
            opening = row.opening
            if not row.ended and opening and opening.is_read and row.tokens[-1] not in self._marks:
                assert opening.gate is not None
                state = self._steering.watch.states[opening.gate.layer][place, -1:]
                places.append((opening, state, float(row.n_tokens)))
            place += row.n_rows
        read_states(places)

    def _run(
        self,
        answers: Sequence[Answer],
        state: _OnDevice,
        steering: RowSteering,
        ids: torch.Tensor,
        mask: torch.Tensor,
        positions: tuple[torch.Tensor, torch.Tensor],
        cache: Any,
        copies: Sequence[int] = (),
    ) -> _Run:
        """Return what a forward pass gives each answer; `copies` are as of `_read_once`."""
        import torch

        pairs, row_of = state.pairs, copies or range(len(state.pairs.answer_of))
        closed = [answer.begins == math.inf for answer in answers]
        with torch.inference_mode(), steering.on(*positions) as counts:
            logits = forward(self.model, ids, mask, keep=1, cache=cache)[:, -1].float()
            if len(logits) < len(row_of):
                logits = logits[torch.tensor(row_of).to(logits.device)]
            # A dose beyond all measure can make numbers of a row overflow; the others must not suffer for it.
            tokens = state.draw(pairs.guided(logits.nan_to_num_(), closed), answers)
            shifts, unsteered, readings = state.figures(None if copies else steering.reading)
        shifts = [0.0 if is_closed else shift for shift, is_closed in zip(shifts, closed, strict=True)]
        for place, row in zip(pairs.answer_of, row_of, strict=True):
            answers[place].applications += counts[row]
        steered = [
            steering.at_end[row] for row, apart in zip(row_of, pairs.is_reference, strict=True) if not apart
        ]
        return _Run(tokens, shifts, unsteered, readings, steered)

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


def _read_once(
    answers: Sequence[Answer], pairs: Pairs
) -> tuple[list[tuple[Sequence[int], SteeringPlan | None, float]], list[int]]:
    """Return each prompt once under each plan, with where steering begins, and for each row of a batch which it has.

    Rivals have one prompt and plan, and unsteered rows of one prompt are alike whatever stands beside them.
    """
    places: dict[tuple[tuple[int, ...], int, float], int] = {}
    read: list[tuple[Sequence[int], SteeringPlan | None, float]] = []
    copies = []
    for place, is_reference in zip(pairs.answer_of, pairs.is_reference, strict=True):
        answer = answers[place]
        plan = None if is_reference else answer.plan
        begins = -math.inf if plan is None else answer.begins
        key = (tuple(answer.prompt), id(plan), begins)
        if key not in places:
            places[key] = len(read)
            read.append((answer.prompt, plan, begins))
        copies.append(places[key])
    return read, copies


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

    def figures(self, reading: Callable[[], torch.Tensor] | None) -> Sequence[Sequence[float]]:
        """Return the `Pairs.figures` of the answers: one copy, and none where no answer is guided.

        `reading` is `RowSteering.reading`, None in a pass whose states are not read.
        """
        if not self.pairs.n_guided:
            return [[0.0] * len(self._alive)] * 3
        figures: list[list[float]] = self.pairs.figures(self._tokens, reading and reading()).tolist()
        return figures

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
