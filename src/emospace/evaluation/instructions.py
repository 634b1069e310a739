"""Prompting at its best: the instruction that asks best for each emotion, chosen on calibration prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from emospace.display import say
from emospace.errors import EmospaceError
from emospace.evaluation.answers import answer
from emospace.evaluation.calibration import Trial, median_ratio, rates, worth
from emospace.evaluation.cells import Cell, check_cap
from emospace.evaluation.prompts import (
    load_adjectives,
    load_instructions,
    load_prompts,
    prompt_kind,
    worded,
)
from emospace.judges import load_judge

if TYPE_CHECKING:
    from emospace.judges import Judge
    from emospace.models import LanguageModel
    from emospace.specs import SteeringSpec

COLUMNS = ("emotion", "instruction", "rate", "probability", "perplexity_ratio", "n_judged", "judge", "chosen")


class Chosen(NamedTuple):
    """The instruction of each emotion, a row for each that was tried, and why none was tried where that is so."""

    instructions: dict[str, str]
    table: pd.DataFrame
    reason: str | None = None


def best_instructions(
    spec: SteeringSpec,
    model: LanguageModel,
    emotions: Sequence[str],
    judge: str,
    labels: Mapping[str, str] | None = None,
) -> Chosen:
    """Return the instruction under which each emotion is judged most often, fluency breaking near-ties.

    The rule is that of doses (`emospace.evaluation.calibration.worth`), without a budget.

    Parameters
    ----------
    spec
        Language, instructions, sampling and run folder. Answers are to the first `SteeringSpec.instruction_prompts`
        calibration prompts, which no evaluation uses.
    model
        The model that is asked.
    emotions
        Those to ask for; one without an instruction that can be worded for it is left out.
    judge
        Name of the judge that doses were calibrated with: the one that reports must not choose.
    labels
        Emotion -> its word in the language; its name where there is none.

    Raises
    ------
    EmospaceError
        If the language has no instruction, or more tokens would be generated than the cap.
    """
    kind = prompt_kind(model, spec.prompts)
    offered = spec.instructions or load_instructions(spec.language, spec.prompts, kind)
    adjectives = load_adjectives(spec.language, spec.prompts)
    ways = {
        emotion: said
        for emotion in emotions
        if (said := worded(offered, emotion, (labels or {}).get(emotion, emotion), adjectives))
    }
    first = {emotion: said[0] for emotion, said in ways.items()}
    if all(len(said) == 1 for said in ways.values()):
        return Chosen(first, pd.DataFrame(columns=COLUMNS))
    try:
        choosing = load_judge(judge)
        choosing.check_language(spec.language)
    except EmospaceError as error:
        return Chosen(first, pd.DataFrame(columns=COLUMNS), f"{error.what}: {error.why}; the first is taken")
    table = _tried(spec, model, ways, choosing)
    chosen = table[table["chosen"]]
    return Chosen(dict(zip(chosen["emotion"].map(str), chosen["instruction"].map(str), strict=True)), table)


def _tried(
    spec: SteeringSpec, model: LanguageModel, ways: Mapping[str, Sequence[str]], judge: Judge
) -> pd.DataFrame:
    kind = prompt_kind(model, spec.prompts)
    prompts = load_prompts(spec.language, "calibration", spec.prompts, kind)[: spec.instruction_prompts]
    cells = [Cell(None, "none")] + [
        Cell(emotion, "prompt", instruction=said, draw=draw)
        for emotion, offered in ways.items()
        for draw, said in enumerate(offered)
    ]
    check_cap(spec, cells, len(prompts), 0)
    say(f"Choosing the best of {max(map(len, ways.values()))} instructions for {len(ways)} emotions.")
    plain, *answers = answer(spec, model, cells, prompts)
    trials = []
    for cell, given in zip(cells[1:], answers, strict=True):
        rate, probability, n_judged = rates(judge.judge(given.texts, spec.language), str(cell.emotion))
        ratio = median_ratio(np.array(given.perplexity), np.array(plain.perplexity))
        trials.append(Trial(0.0, 0.0, rate, probability, ratio, n_judged=n_judged))
    rows = []
    for emotion, offered in ways.items():
        tried = [trial for cell, trial in zip(cells[1:], trials, strict=True) if cell.emotion == emotion]
        judged = [trial for trial in tried if np.isfinite(trial.rate)] or tried[:1]
        chosen = max(judged, key=worth)
        for said, trial in zip(offered, tried, strict=True):
            figures = (trial.rate, trial.probability, trial.perplexity_ratio, trial.n_judged)
            rows.append((emotion, said, *figures, judge.name, trial is chosen))
    return pd.DataFrame(rows, columns=COLUMNS)
