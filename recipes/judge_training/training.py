"""Training of the embedded judges: joined texts as augmentation, one loss over all heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emospace.display import progress
from emospace.judges.tokens import Tokens, gather, tokenise
from judge_training.corpus import GOEMOTIONS, NEUTRAL, Corpus

if TYPE_CHECKING:
    import torch

    Logits = Callable[..., torch.Tensor]

JOINED = 4
HEAVIEST = 12.0
NEIGHBOURS = 20
WIDTHS = {"fine": 28, "basic": 6, "seven": 7}


@dataclass(frozen=True)
class Fit:
    """Settings of one training run, chosen on the dev splits.

    Parameters
    ----------
    heads
        Outputs in order, of ``fine`` (28 marks), ``basic`` (6 marks), ``seven`` (choice of one).
    drop
        Share left out by dropout, 0..1.
    joined
        Share of the examples that are several texts in a row, 0..1.
    decay
        Decoupled weight decay (AdamW).
    """

    heads: tuple[str, ...]
    n_rows: int
    epochs: int
    rate: float
    decay: float = 0.0
    drop: float = 0.3
    joined: float = 0.5
    batch: int = 256
    seed: int = 0

    @property
    def columns(self) -> dict[str, slice]:
        """Where each head's outputs lie."""
        ends = np.cumsum([WIDTHS[head] for head in self.heads])
        return {
            head: slice(int(end) - WIDTHS[head], int(end)) for head, end in zip(self.heads, ends, strict=True)
        }

    @property
    def n_outputs(self) -> int:
        return sum(WIDTHS[head] for head in self.heads)


class Examples(NamedTuple):
    """Training examples of one epoch: rows of texts and what the row as a whole is marked with."""

    rows: np.ndarray
    fine: np.ndarray
    basic: np.ndarray
    seven: np.ndarray


def class_weights(corpus: Corpus) -> np.ndarray:
    """Return weights ``[n_texts]`` under which each of the seven classes counts alike within a language.

    Neither text length nor language then predicts the class; no text counts more than `HEAVIEST`.
    """
    import pandas as pd

    table = pd.DataFrame({"language": corpus.language, "seven": corpus.seven})[corpus.seven >= 0]
    size = table.groupby(["language", "seven"])["seven"].transform("size")
    total = table.groupby("language")["seven"].transform("size")
    present = table.groupby("language")["seven"].transform("nunique")
    weights = np.zeros(len(corpus), np.float32)
    weights[corpus.seven >= 0] = np.minimum(total / (present * size), HEAVIEST)
    return weights


def join(corpus: Corpus, rng: np.random.Generator, share: float) -> Examples:
    """Return one epoch: each text alone or, for a share of them, among up to three others of its kind.

    Companions have the same language, source and class; for a third of the joined rows they are neutral where the
    source has neutral texts, and the row keeps the class. Length is then no cue. Marks of the row are the union;
    it is neutral only if all its texts are.
    """
    import pandas as pd

    n = len(corpus)
    kind = pd.factorize(pd.Series(corpus.language) + "\t" + pd.Series(corpus.source))[0]
    rows = np.full((n, JOINED), -1)
    rows[:, 0] = np.arange(n)
    extra = np.where(rng.random(n) < share, rng.integers(1, JOINED, n), 0)
    to_neutral = (rng.random(n) < 1 / 3) & (corpus.seven >= 0)
    pools: dict[tuple[int, int], np.ndarray] = {}
    for k, c in np.unique(np.stack([kind, corpus.seven], axis=1), axis=0).tolist():
        pools[k, c] = np.flatnonzero((kind == k) & (corpus.seven == c))
    for (k, _), members in pools.items():
        neutral = pools.get((k, NEUTRAL), members)
        picks = members[rng.integers(0, len(members), (len(members), JOINED - 1))]
        calm = neutral[rng.integers(0, len(neutral), (len(members), JOINED - 1))]
        picks = np.where(to_neutral[members, None], calm, picks)
        rows[members, 1:] = np.where(np.arange(JOINED - 1) < extra[members, None], picks, -1)
    # The text itself stands anywhere among its companions.
    for size in range(2, JOINED + 1):
        of_size = np.flatnonzero(extra == size - 1)
        place = rng.integers(0, size, len(of_size))
        rows[of_size, 0], rows[of_size, place] = rows[of_size, place], rows[of_size, 0].copy()
    fine, basic = (_union(marks, rows) for marks in (corpus.fine, corpus.basic))
    neutral_mark = GOEMOTIONS.index("neutral")
    fine[:, neutral_mark] *= np.nan_to_num(fine[:, :neutral_mark]).max(axis=1) == 0
    return Examples(rows, fine, basic, corpus.seven)


def _union(marks: np.ndarray, rows: np.ndarray) -> np.ndarray:
    total: np.ndarray = marks[rows[:, 0]].copy()
    for column in rows.T[1:]:
        total = np.where(column[:, None] >= 0, np.maximum(total, marks[column]), total)
    return total


def train(
    logits: Logits, parameters: dict[str, torch.Tensor], corpus: Corpus, fit: Fit, title: str
) -> dict[str, torch.Tensor]:
    """Return the parameters trained on a corpus.

    Binary cross-entropy over the known marks of ``fine`` and ``basic`` and class-balanced cross-entropy over
    ``seven``; Adam, a linear warm-up and a cosine to zero.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

    torch.manual_seed(fit.seed)
    rng = np.random.default_rng(fit.seed)
    tokens, weights = tokenise(list(corpus.texts)), torch.from_numpy(class_weights(corpus))
    parameters = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    optimiser = torch.optim.AdamW(parameters.values(), lr=fit.rate, weight_decay=fit.decay)
    n_steps = fit.epochs * -(-len(corpus) // fit.batch)

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / (0.05 * n_steps)) * 0.5 * (1 + cos(pi * step / n_steps))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    columns = fit.columns
    with progress(title, n_steps, "steps") as advance:
        for _ in range(fit.epochs):
            examples = join(corpus, rng, fit.joined)
            for batch in _batches(tokens, examples.rows, fit.batch, rng):
                scores = logits(
                    parameters, tokens, *words_of_rows(tokens, examples.rows[batch]), drop=fit.drop
                )
                loss = torch.zeros(())
                for head in ("fine", "basic"):
                    if head in columns:
                        marks = torch.from_numpy(getattr(examples, head)[batch])
                        marked = ~marks.isnan()
                        if marked.any():
                            part = binary_cross_entropy_with_logits(
                                scores[:, columns[head]][marked], marks[marked], reduction="sum"
                            )
                            loss = loss + part / len(batch)
                classes = torch.from_numpy(examples.seven[batch])
                single = classes >= 0
                if single.any():
                    losses = cross_entropy(
                        scores[:, columns["seven"]][single], classes[single], reduction="none"
                    )
                    loss = loss + (losses * weights[batch][single]).sum() / len(batch)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                advance()
    return {name: value.detach() for name, value in parameters.items()}


def _batches(tokens: Tokens, rows: np.ndarray, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return random batches of rows of like length: sorted among `NEIGHBOURS` batches at a time."""
    n_batches = -(-len(rows) // size)
    lengths = (np.diff(tokens.starts)[rows] * (rows >= 0)).sum(axis=1)
    groups = np.array_split(rng.permutation(len(rows)), -(-n_batches // NEIGHBOURS))
    ordered = np.concatenate([items[np.argsort(lengths[items], kind="stable")] for items in groups])
    batches = np.array_split(ordered, n_batches)
    return [batches[i] for i in rng.permutation(len(batches))]


def words_of_rows(tokens: Tokens, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the words of rows of texts and their number per row."""
    real = rows >= 0
    words, lengths = gather(tokens.words, tokens.starts, rows[real])
    owner = np.nonzero(real)[0]
    return words, np.bincount(owner, weights=lengths, minlength=len(rows)).astype(np.int64)
