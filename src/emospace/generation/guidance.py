"""Guidance: each token chosen between what a model says steered and unsteered of the same text.

A guided answer has two rows in its batch: the steered one, and beside it the same tokens read by the model as it is. With
the logits ``s`` and ``u`` of both, the token is drawn from ``u + weight * (s - u)``, which is classifier-free guidance
(Sanchez et al. 2023) with a steering vector in place of a prompt: a small dose, whose direction the model still
follows, can be made to count more. Bounds keep the answer what it is: `Guidance.plausible` leaves only tokens that the
unsteered model finds likely (the plausibility constraint of contrastive decoding, Li et al. 2023), `Guidance.cost`
lowers the weight where the tone would cost more than so many nats, and `Guidance.certainty` makes it 0 where the unsteered
model is sure of the token, so that the answer still says what the model knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from emospace.specs import Guidance

LIKELIEST = 128
"""Tokens, the likeliest of either reading, among which the cost of a weight is reckoned."""

HALVINGS = 8
"""Steps in which the weight that keeps a budget is found, to 1/256 of the weight asked for."""


class Pairs:
    """Which rows of a batch are answers, and which read an answer's text unsteered beside it.

    An answer's rows stand next to each other, the steered one first.

    Parameters
    ----------
    guidances
        Of each answer; None for one that has a single row.
    device
        Where logits are.

    Attributes
    ----------
    answer_of
        ``[n_rows]``, the answer of each row.
    is_reference
        ``[n_rows]``, whether a row reads unsteered.
    n_guided
        Answers with a second row.
    """

    def __init__(self, guidances: Sequence[Guidance | None], device: Any) -> None:
        import torch

        self.answer_of: list[int] = []
        self.is_reference: list[bool] = []
        steered, references = [], []
        for place, guidance in enumerate(guidances):
            steered.append(len(self.answer_of))
            self.answer_of.append(place)
            self.is_reference.append(False)
            if guidance is not None:
                references.append(len(self.answer_of))
                self.answer_of.append(place)
                self.is_reference.append(True)
        given = [guidance for guidance in guidances if guidance is not None]
        self.n_guided = len(given)
        if not given:
            return
        self._rows = torch.tensor(self.answer_of).to(device)
        self._steered, self._references = (
            torch.tensor(steered).to(device),
            torch.tensor(references).to(device),
        )
        self._guided = torch.tensor([row is not None for row in guidances]).nonzero()[:, 0].to(device)
        values = [
            [
                g.weight or 1.0,
                g.plausible or 0.0,
                g.cost or torch.inf,
                g.certainty or torch.inf,
                g.sharpen or 1.0,
            ]
            for g in given
        ]
        columns = torch.tensor(values, dtype=torch.float32).to(device)
        self._weight, self._plausible, self._cost, certainty, self._sharpen = columns.T.unsqueeze(-1)
        self._certainty = certainty.log()
        self._is_bounded = any(g.cost for g in given)
        self._readings: tuple[torch.Tensor, torch.Tensor] | None = None

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """Return what is of each answer ``[n_answers, …]`` for each row ``[n_rows, …]``."""
        return values[self._rows] if self.n_guided else values

    def guided(self, logits: torch.Tensor, closed: Sequence[bool] = ()) -> torch.Tensor:
        """Return the logits ``[n_answers, n_vocabulary]`` that tokens are drawn from, of those of all rows.

        Answers that are `closed`, on which nothing acts yet, have those of the model as it is.
        """
        import torch

        if not self.n_guided:
            return logits
        chosen = logits[self._steered]
        steered = chosen[self._guided].log_softmax(dim=-1)
        unsteered = logits[self._references].log_softmax(dim=-1)
        self._readings = steered, unsteered
        difference = steered - unsteered
        likeliest = unsteered.amax(dim=-1, keepdim=True)
        is_plausible = unsteered >= likeliest + self._plausible.log()
        weight = self._weight.masked_fill(likeliest >= self._certainty, 0.0)
        if self._is_bounded:
            weight = self._within(
                weight, unsteered, difference, is_plausible, torch.maximum(steered, unsteered)
            )
        joined = torch.addcmul(unsteered, weight, difference).masked_fill_(~is_plausible, -torch.inf)
        joined.mul_(self._sharpen)
        if any(closed):
            is_closed = torch.tensor(closed).to(logits.device)[self._guided].unsqueeze(1)
            joined = torch.where(is_closed, chosen[self._guided], joined)
        return chosen.index_copy_(0, self._guided, joined)

    def figures(self, tokens: torch.Tensor, reading: torch.Tensor | None) -> torch.Tensor:
        """Return what guidance says of each answer's token ``[3, n_answers]``, 0 where an answer is alone.

        Its log-probability steered less unsteered, the unsteered one, and the `reading` ``[n_guided]`` of the token
        before it, None where that was not read.
        """
        import torch

        figures = torch.zeros((3, len(tokens)), dtype=torch.float32, device=tokens.device)
        assert self._readings is not None
        places = tokens[self._guided].unsqueeze(1)
        steered, unsteered = (logits.gather(1, places)[:, 0] for logits in self._readings)
        figures[0, self._guided] = steered - unsteered
        figures[1, self._guided] = unsteered
        if reading is not None:
            figures[2, self._guided] = reading.to(figures.device, figures.dtype)
        return figures

    def _within(
        self,
        weight: torch.Tensor,
        unsteered: torch.Tensor,
        difference: torch.Tensor,
        is_plausible: torch.Tensor,
        likeliest: torch.Tensor,
    ) -> torch.Tensor:
        """Return the weights ``[n_guided, 1]`` lowered until the unsteered surprisal rises by the cost at most."""
        import torch

        tokens = likeliest.topk(min(LIKELIEST, likeliest.shape[-1]), dim=-1).indices
        score, push = unsteered.gather(1, tokens), difference.gather(1, tokens)
        allowed = score.masked_fill(~is_plausible.gather(1, tokens), -torch.inf)

        def surprisal(weight: torch.Tensor | float) -> torch.Tensor:
            share = torch.softmax(allowed + weight * push, dim=-1)
            return -(share * score).sum(dim=-1, keepdim=True)

        limit = surprisal(0.0) + self._cost
        low, high = torch.zeros_like(weight), weight
        whole = surprisal(high) <= limit
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            fits = surprisal(middle) <= limit
            low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
        return torch.where(whole, weight, low)
