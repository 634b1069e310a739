"""Whether a tone stays: answers to the same prompts with other random numbers, and what is read in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emospace.display import say
from emospace.evaluation.answers import answer
from emospace.evaluation.estimates import NAN, Estimate, Floats, rate, ratio_estimate
from emospace.evaluation.scores import hits, is_judged
from emospace.judges import weakness

if TYPE_CHECKING:
    from emospace.evaluation.grid import Judged
    from emospace.judges import Judge
    from emospace.models import LanguageModel
    from emospace.specs import SteeringSpec

FIGURES = ("rate", "most", "every", "agreement")
COLUMNS = (
    *("way", "emotion", "n_emotions", "n_seeds", "n", "least", "greatest"),
    *(f"{figure}{part}" for figure in FIGURES for part in ("", "_low", "_high")),
)


def stability_table(spec: SteeringSpec, model: LanguageModel, judged: Judged, judge: Judge) -> pd.DataFrame:
    """Return how often each tone, at its calibrated dose, is read again in answers with other seeds.

    One row an emotion of the basic six that was judged, and one of their mean (no ``emotion``). ``rate`` is the share of all
    answers with the tone, ``least`` and ``greatest`` that of a seed; ``most`` the share of prompts with the tone in more than
    half of their answers, ``every`` in all; ``agreement`` the chance that an answer has the tone where another answer to its
    prompt has it (specific agreement, Cicchetti & Feinstein 1990). 95% intervals over prompts. No row where there is one seed.

    Parameters
    ----------
    spec
        Sampling, of which the first seed is that of the study, how many seeds, and the run folder, where answers are kept.
    judged
        The study, whose answers are those of the first seed.
    """
    if spec.seeds == 1:
        return pd.DataFrame(columns=list(COLUMNS))
    places = [place for place, cell in enumerate(judged.cells) if cell.is_repeated]
    cells = [judged.cells[place] for place in places]
    read = [[judged.scored[place].judgement] for place in places]
    for number in range(1, spec.seeds):
        say(f"Stability: answers of seed {spec.sampling.seed + number}.")
        sampling = spec.sampling.model_copy(update={"seed": spec.sampling.seed + number})
        reseeded = spec.model_copy(update={"sampling": sampling})
        for given, seen in zip(answer(reseeded, model, cells, judged.prompts), read, strict=True):
            seen.append(judge.judge(given.texts, spec.language))
    tables: dict[str, dict[str, Floats]] = {}
    for cell, seen in zip(cells, read, strict=True):
        emotion = str(cell.emotion)
        known = all(is_judged(part, emotion) for part in seen)
        if known and not weakness(judge.auroc(spec.language, emotion)):
            tables.setdefault(cell.way, {})[emotion] = np.stack([hits(part, emotion) for part in seen])
    rows = []
    for way, of_emotion in tables.items():
        for emotion, table in of_emotion.items():
            rows.append(_row(way, emotion, [table], spec.seed))
        rows.append(_row(way, None, list(of_emotion.values()), spec.seed))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(way: str, emotion: str | None, tables: Sequence[Floats], seed: int) -> dict[str, Any]:
    """Return a row of tables ``[n_emotions][n_seeds, n_prompts]`` of hits, 0 or 1, NaN where one was not judged."""
    hit = np.stack(tables)
    n_seeds = hit.shape[1]
    counts = hit.sum(axis=1)
    is_known = np.isfinite(counts)
    figures: dict[str, Estimate] = {
        "rate": rate(counts / n_seeds, seed=seed),
        "most": rate(np.where(is_known, counts > n_seeds / 2, NAN), seed=seed),
        "every": rate(np.where(is_known, counts == n_seeds, NAN), seed=seed),
        "agreement": ratio_estimate(
            np.where(is_known, counts * (counts - 1), 0),
            np.where(is_known, counts * (n_seeds - 1), 0),
            seed=seed,
        ),
    }
    by_seed = np.nanmean(hit, axis=2).mean(axis=0)
    row: dict[str, Any] = {"way": way, "emotion": emotion, "n_emotions": len(tables), "n_seeds": n_seeds}
    row |= {"n": hit.shape[2], "least": by_seed.min(), "greatest": by_seed.max()}
    for name, estimate in figures.items():
        row |= estimate.named(name)
    return row
