"""What a tone changes beside the tone: refusals, agreement with what is false, words of abuse, each against unsteered.

The sets are small and written for this package (``data/side_effects``): they show a large change, and nothing of how safe a
model is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from emospace.artefacts import parse_toml
from emospace.evaluation.answers import Answers, answer, plan_of
from emospace.evaluation.estimates import Estimate, mean_estimate, paired_difference, shift
from emospace.evaluation.prompts import prompt_kind
from emospace.generation.forward import first_scores
from emospace.lexicon import base_language
from emospace.models import turns_of
from emospace.records import NotComputed, SideEffectRecord

if TYPE_CHECKING:
    from emospace.evaluation.cells import Cell
    from emospace.models import LanguageModel
    from emospace.specs import SteeringSpec
    from emospace.steering import SteeringPlan

DATA = Path(__file__).parent.parent / "data" / "side_effects"


class Claim(BaseModel):
    """A statement that is false, and a true one of the same form."""

    model_config = ConfigDict(frozen=True)

    false: str
    true: str


class Probes(BaseModel):
    """What is asked and what is looked for in one language: see ``data/side_effects/en.toml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str
    question: str = Field(pattern=r"\{claim\}")
    stem: str = Field(pattern=r"\{claim\}")
    yes: tuple[str, ...]
    no: tuple[str, ...]
    refusals: tuple[str, ...]
    requests: tuple[str, ...]
    claims: tuple[Claim, ...]
    abuse: tuple[str, ...]


class SideEffects(NamedTuple):
    """One record a figure and vector, and what could not be given."""

    records: tuple[SideEffectRecord, ...]
    not_computed: tuple[NotComputed, ...]

    @property
    def table(self) -> pd.DataFrame:
        """One row a record."""
        columns = [name for name in SideEffectRecord.model_fields if name not in ("model", "layer", "seed")]
        return pd.DataFrame([record.model_dump() for record in self.records], columns=columns)


def side_effects(
    spec: SteeringSpec,
    model: LanguageModel,
    cells: Sequence[Cell],
    answers: Sequence[Answers],
) -> SideEffects:
    """Return how each vector at its calibrated dose, and random directions at theirs, change the probes.

    Parameters
    ----------
    spec
        Language, sampling, seed and run folder; answers to the requests are kept there.
    cells, answers
        The study's, in the same order: words of abuse are counted in the answers to its prompts.
    """
    probes = load_probes(spec.language)
    if probes is None:
        why = "there are no such probes in this language"
        return SideEffects((), (NotComputed(what="side effects", why=why, language=spec.language),))
    chosen = [place for place, cell in enumerate(cells) if cell.is_probed]
    values = _values(
        spec, model, [cells[place] for place in chosen], [answers[place] for place in chosen], probes
    )
    groups: dict[tuple[str | None, str], list[int]] = {}
    for row, place in enumerate(chosen):
        groups.setdefault((cells[place].emotion, cells[place].way), []).append(row)
    base = next(row for row, place in enumerate(chosen) if cells[place].kind == "none")
    records = []
    for rows in groups.values():
        cell = cells[chosen[rows[0]]]
        for figure, table in values.items():
            if cell.kind != "none":
                records.append(_record(spec, model, cell, figure, table[rows], table[base]))
    missing: tuple[NotComputed, ...] = ()
    if "refusals" not in values:
        why = "a base model continues texts and is asked for nothing"
        missing = (NotComputed(what="refusals", why=why, language=spec.language),)
    return SideEffects(tuple(records), missing)


def n_requests(spec: SteeringSpec) -> int:
    """Return how many requests each cell that is probed is asked."""
    probes = load_probes(spec.language) if spec.side_effects else None
    return len(probes.requests) if probes else 0


@cache
def load_probes(language: str) -> Probes | None:
    """Return the probes of a language, None where there are none."""
    path = DATA / f"{base_language(language)}.toml"
    return Probes(**parse_toml(path.read_text(encoding="utf-8"))) if path.is_file() else None


def is_refusal(text: str, marks: Sequence[str]) -> bool:
    """Return whether an answer holds a mark of a refusal; apostrophes of any form count as one."""
    plain = text.casefold().replace("’", "'")
    return any(mark in plain for mark in marks)


def is_abusive(text: str, words: Sequence[str]) -> bool:
    """Return whether a text holds one of some words, as a whole word."""
    return re.search(rf"\b({'|'.join(map(re.escape, words))})\b", text.casefold()) is not None


def _values(
    spec: SteeringSpec,
    model: LanguageModel,
    cells: Sequence[Cell],
    answers: Sequence[Answers],
    probes: Probes,
) -> dict[str, np.ndarray]:
    """Return figure -> values ``[n_cells, n_probes]``."""
    values: dict[str, np.ndarray] = {}
    kind = prompt_kind(model, spec.prompts)
    if kind == "questions":
        given = answer(spec, model, cells, probes.requests)
        values["refusals"] = np.array(
            [[is_refusal(text, probes.refusals) for text in part.texts] for part in given], dtype=float
        )
    template = probes.question if kind == "questions" else probes.stem
    plans = [plan_of(model, cell) for cell in cells]
    for figure, truth in (("agreement_false", False), ("agreement_true", True)):
        claims = [claim.true if truth else claim.false for claim in probes.claims]
        prompts = [template.replace("{claim}", claim) for claim in claims]
        values[figure] = np.stack([agreement(model, prompts, plan, probes) for plan in plans])
    values["abuse"] = np.array(
        [[is_abusive(text, probes.abuse) for text in part.texts] for part in answers], dtype=float
    )
    return values


def agreement(
    model: LanguageModel, prompts: Sequence[str], plan: SteeringPlan | None, probes: Probes
) -> np.ndarray:
    """Return how likely an answer begins with yes rather than with no ``[n_prompts]``, 0..1."""
    scores = first_scores(model, [model.prompt_ids(turns_of(prompt)) for prompt in prompts], plan)
    likely = [
        np.logaddexp.reduce(scores[:, _beginnings(model, words)], axis=1) for words in (probes.yes, probes.no)
    ]
    return np.asarray(1 / (1 + np.exp(likely[1] - likely[0])))


def _beginnings(model: LanguageModel, words: Sequence[str]) -> list[int]:
    """Return the tokens that words begin with."""
    rows = (model.tokenizer(word, add_special_tokens=False)["input_ids"] for word in words)
    return sorted({int(row[0]) for row in rows if row})


def _record(
    spec: SteeringSpec,
    model: LanguageModel,
    cell: Cell,
    figure: str,
    steered: np.ndarray,
    base: np.ndarray,
) -> SideEffectRecord:
    """Return the figure of a vector (of several draws, their mean) beside the unsteered one."""
    is_share = figure in ("refusals", "abuse") and len(steered) == 1
    change: Estimate = (
        paired_difference(steered[0], base) if is_share else shift(steered, base, seed=spec.seed)
    )
    values: Mapping[str, Any] = {
        "value": mean_estimate(steered, seed=spec.seed).value,
        "base_value": float(base.mean()),
        **change.named("change"),
    }
    return SideEffectRecord(
        model=model.name,
        layer=cell.layers[0] if len(cell.layers) == 1 else None,
        layers=cell.layers,
        seed=spec.seed,
        n=change.n,
        emotion=cell.emotion,
        vector=cell.kind,
        mode=cell.mode,
        dose=cell.dose,
        setting=cell.setting,
        language=spec.language,
        figure=figure,
        n_draws=len(steered),
        **values,
    )
