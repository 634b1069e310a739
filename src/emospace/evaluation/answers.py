"""The answers of each cell of a study, kept under the hash of all that made them, so that a study resumes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from emospace.artefacts import content_hash, read_json, write_json
from emospace.display import track
from emospace.generation import generate_together, perplexity
from emospace.steering.plan import SteeringPlan, plan_steering

if TYPE_CHECKING:
    from emospace.evaluation.cells import Cell
    from emospace.models import LanguageModel
    from emospace.specs import SteeringSpec

log = logging.getLogger(__name__)

FORMAT = 2
"""Raised when the same inputs give other answers, so that old ones are not taken for new."""

NO_TEXT = ("format", "name", "kind", "model", "model_hash", "calibration", "mode", "note")
"""What a vector's card holds that changes no answer; the model has its own hash and the cell its mode."""


@dataclass(frozen=True, eq=False)
class Answers:
    """One cell's answers, one entry a prompt.

    `perplexity` is that of the answer after the bare prompt, without any instruction, under the unsteered model
    (NaN without a token); `factual` the likeliest answers to the factual prompts and `factual_sampled` those that
    are sampled as all others are, both empty where they were not asked.
    """

    texts: list[str]
    n_tokens: list[int]
    stopped: list[bool]
    perplexity: list[float]
    applications: int
    factual: list[str]
    factual_sampled: list[str] = field(default_factory=list)


def answer(
    spec: SteeringSpec,
    model: LanguageModel,
    cells: Sequence[Cell],
    prompts: Sequence[str],
    factual: Sequence[str] = (),
) -> list[Answers]:
    """Return the answers of each cell, from ``out/cells`` where they lie whole, else generated and kept there.

    As many cells are answered together as there is room for in `SteeringSpec.batch_size`.
    """
    paths = [_path(spec, model, cell, prompts, factual) for cell in cells]
    cell_at = dict(zip(paths, cells, strict=True))
    answers_at = {path: _read(path, len(prompts)) for path in cell_at}
    missing = [path for path, answers in answers_at.items() if answers is None]
    n_together = max(spec.batch_size // max(len(prompts), 1), 1)
    batches = [missing[start : start + n_together] for start in range(0, len(missing), n_together)]
    for batch in track(batches, f"Steered answers, {spec.language}", "batches"):
        made = _generated(spec, model, [cell_at[path] for path in batch], prompts, factual)
        for path, answers in zip(batch, made, strict=True):
            write_json(path, {"cell": cell_at[path].named(), **asdict(answers)})
            answers_at[path] = answers
    return [kept for path in paths if (kept := answers_at[path]) is not None]


def cell_hash(
    spec: SteeringSpec, model: LanguageModel, cell: Cell, prompts: Sequence[str], factual: Sequence[str]
) -> str:
    """Return the hash of all that a cell's answers depend on: model, vector, dose, sampling, prompts."""
    parts: list[Any] = [
        FORMAT,
        model.content_hash,
        spec.sampling.model_dump(),
        list(prompts),
        [list(factual), spec.factual_tokens, "greedy, sampled"] if factual else [],
        cell.instruction,
    ]
    if model.template_args:
        parts.append(dict(model.template_args))
    if cell.vector is not None:
        card = {name: value for name, value in cell.vector.card().items() if name not in NO_TEXT}
        if cell.mode == "relative":
            del card["medians"]
        parts += [cell.dose, cell.mode, card, *cell.vector.directions.values()]
        if cell.settings:
            parts.append({name: _plain(value) for name, value in cell.settings.items()})
    return content_hash(*parts)


def plan_of(model: LanguageModel, cell: Cell) -> SteeringPlan | None:
    """Return how a cell's answers are steered, None for not at all."""
    if cell.vector is None:
        return None
    return plan_steering(model, cell.vector, cell.dose, mode=cell.mode, **cell.settings)


def _plain(value: Any) -> Any:
    """Return a setting as plain values, which a hash is taken of."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _generated(
    spec: SteeringSpec,
    model: LanguageModel,
    cells: Sequence[Cell],
    prompts: Sequence[str],
    factual: Sequence[str],
) -> list[Answers]:
    plans = [plan_of(model, cell) for cell in cells]
    sampled = spec.sampling.model_copy(
        update={
            "n_tokens": spec.factual_tokens,
            "least_tokens": min(spec.sampling.least_tokens, spec.factual_tokens),
        }
    )
    greedy = sampled.model_copy(update={"temperature": 0.0})
    free_prompts = [_instructed(prompts, cell) for cell in cells]
    questions = [_instructed(factual if cell.factual else (), cell) for cell in cells]
    free, *facts = (
        generate_together(
            model, list(zip(texts, plans, strict=True)), sampling=sampling, batch_size=spec.batch_size
        )
        for texts, sampling in ((free_prompts, spec.sampling), (questions, greedy), (questions, sampled))
    )
    return [
        Answers(
            texts=generated.texts,
            n_tokens=[len(tokens) for tokens in generated.tokens],
            stopped=generated.stopped.tolist(),
            perplexity=perplexity(model, prompts, generated).tolist(),
            applications=generated.applications,
            factual=likeliest.texts,
            factual_sampled=drawn.texts,
        )
        for generated, likeliest, drawn in zip(free, *facts, strict=True)
    ]


def _path(
    spec: SteeringSpec, model: LanguageModel, cell: Cell, prompts: Sequence[str], factual: Sequence[str]
) -> Path:
    questions = factual if cell.factual else ()
    return spec.out / "cells" / f"{cell_hash(spec, model, cell, prompts, questions)}.json"


def _instructed(prompts: Sequence[str], cell: Cell) -> list[str]:
    instruction = cell.instruction or "{prompt}"
    if "{prompt}" not in instruction:
        instruction = f"{{prompt}} {instruction}"
    return [instruction.replace("{prompt}", prompt) for prompt in prompts]


def _read(path: Path, n_prompts: int) -> Answers | None:
    """Return kept answers, or None where they are not there or damaged (then they are generated again)."""
    if not path.is_file():
        return None
    try:
        saved = read_json(path)
        del saved["cell"]
        saved["perplexity"] = [np.nan if value is None else float(value) for value in saved["perplexity"]]
        answers = Answers(**saved)
        if {len(answers.texts), len(answers.perplexity), len(answers.stopped)} != {n_prompts}:
            raise ValueError("its parts differ in length")
    # A file cut short or edited can be wrong in any of these ways.
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the answers in %s cannot be read (%s); generating them again", path.name, error)
        return None
    return answers
