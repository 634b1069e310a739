"""The last stage: the basic emotions on a few prompts, an illustration of what `emospace steer evaluate` tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emospace.artefacts import content_hash
from emospace.errors import EmospaceError
from emospace.evaluation.answers import cell_hash
from emospace.evaluation.cells import Cell
from emospace.evaluation.grid import evaluate
from emospace.evaluation.prompts import load_prompts, prompt_kind
from emospace.evaluation.summary import ILLUSTRATION
from emospace.judges import BASIC, Judge
from emospace.judges.embedded import EmbeddedJudge, load_embedded
from emospace.records import NotComputed, SteeringRecord
from emospace.specs import ChatModelSpec, Mode, Sampling, SteeringSpec, StudySpec
from emospace.steering.bank import load_vectors
from emospace.study.inputs import figure_norms, figure_sets
from emospace.study.stage import Deferred, StageResult, stage

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets
    from emospace.models import LanguageModel
    from emospace.norms import WordNorms
    from emospace.steering.bank import VectorBank

N_PROMPTS, N_TOKENS = 8, 32
MODE: Mode = "relative"
WHAT = "steering, an illustration"


@dataclass(frozen=True, eq=False)
class Illustration:
    """What is tried in one language: the unsteered model, and each basic emotion at its calibrated dose.

    Attributes
    ----------
    arguments
        Those of `illustrate`.
    hashes
        Of the answers each cell asks for.
    judge
        Hash of the weights of the judge.
    """

    language: str
    arguments: Mapping[str, Any]
    hashes: tuple[str, ...]
    judge: str


def steering_stage(illustration: Illustration | NotComputed, folder: Path) -> StageResult:
    """Try the model's calibrated vectors on a few prompts of a language, or say why not."""
    if isinstance(illustration, NotComputed):
        return StageResult(not_computed=[illustration])
    try:
        return illustrate.kept(folder, f"steering-{illustration.language}", **illustration.arguments)
    except EmospaceError as error:
        # The other figures do not need it.
        missing = NotComputed(what=WHAT, why=str(error), language=illustration.language)
        return StageResult(not_computed=[missing])


def prepare(
    study: StudySpec, model: LanguageModel, norms: Mapping[str, Sequence[WordNorms]], out: Path
) -> list[Illustration | NotComputed]:
    """Return what a model can be tried on in each language, or the reason why it cannot: no vectors, prompts or judge.

    Parameters
    ----------
    norms
        Language -> its norms.
    out
        Where answers are kept.
    """
    try:
        judge = load_embedded("subword")
        banks = {language: load_vectors(model, language=language) for language in study.languages}
        cells = {language: _cells(bank, model.name) for language, bank in banks.items()}
    except EmospaceError as error:
        return [NotComputed(what=WHAT, why=str(error))]
    prepared: list[Illustration | NotComputed] = []
    for language in study.languages:
        try:
            rated = next(iter(norms.get(language, ())), None)
            prepared.append(
                _prepare(study, language, model, banks[language], cells[language], judge, rated, out)
            )
        except EmospaceError as error:
            trial = f"emospace steer evaluate --language {language} --prompts FILE --judge NAME"
            why = f"{error.what}: {error.why}; with prompts and a judge of your own: {trial}"
            prepared.append(NotComputed(what=WHAT, why=why, language=language))
    return prepared


def files_of(prepared: Sequence[Illustration | NotComputed]) -> dict[str, str]:
    """Return the hashes of vectors and judge, for the manifest."""
    tried = [each for each in prepared if isinstance(each, Illustration)]
    if not tried:
        return {}
    hashes = [hashed for each in tried for hashed in each.hashes]
    return {"steering vectors": content_hash(hashes), "judge": tried[0].judge}


@stage(version=3)
def illustrate(
    *,
    name: str,
    model: LanguageModel,
    spec: SteeringSpec,
    cells: Sequence[Cell],
    prompts: Sequence[str],
    judge: Judge,
    note: str,
    sets: ConceptSets,
    norms: WordNorms | None,
) -> StageResult:
    """Return one record for each emotion, steered and unsteered, and the table ``steering_samples``.

    Intervals are left out: there are too few prompts.

    Parameters
    ----------
    note
        Goes into the options of all records: doses calibrated in another language, or by this very judge.
    sets
        Concept-sets whose words are masked.
    norms
        Those of the language, for word shifts.
    """
    evaluation = evaluate(spec, model, cells, judge, sets=sets, norms=norms, prompts=prompts, factual=())
    tried = {cell.emotion for cell in cells}
    missing = [
        NotComputed(
            what=f"{WHAT} towards {emotion}",
            why="the model's vectors hold none calibrated for it (emospace steer calibrate)",
            language=spec.language,
        )
        for emotion in BASIC
        if emotion not in tried
    ]
    records = [_marked(record, name, note) for record in evaluation.records]
    samples = {"steering_samples": evaluation.tables["samples"].assign(language=spec.language)}
    return StageResult({"steering": records}, samples, [*evaluation.not_computed, *missing])


def _prepare(
    study: StudySpec,
    language: str,
    model: LanguageModel,
    bank: VectorBank,
    cells: tuple[Cell, ...],
    judge: EmbeddedJudge,
    norms: WordNorms | None,
    out: Path,
) -> Illustration:
    from emospace.concepts import load_concepts

    prompts = load_prompts(language, "evaluation", kind=prompt_kind(model))[:N_PROMPTS]
    judge.check_language(language)
    spec = SteeringSpec(
        model=study.model,
        doses=(1.0,),
        judge=judge.name,
        language=language,
        mode=MODE,
        n_prompts=N_PROMPTS,
        sampling=Sampling(n_tokens=N_TOKENS, seed=study.seed),
        batch_size=N_PROMPTS * (1 + len(BASIC)),  # all at once
        seed=study.seed,
        out=out,
    )
    # Where answers are kept, and how many are made at once, changes none of them.
    unused = {*ChatModelSpec.model_fields, "source", "baselines", "batch_size", "out"}
    settings = spec.model_dump(mode="json", exclude=unused)
    hashes = tuple(cell_hash(spec, model, cell, prompts, ()) for cell in cells)
    named = [(cell.emotion, cell.kind) for cell in cells]
    # The words that the vectors were made of are masked: custom sets only if the vectors come from custom sets.
    custom = study.concepts if bank.note.get("spec", {}).get("concepts") else None
    arguments = {
        "name": str(model.identity.get("name")),
        "model": Deferred(model.content_hash, lambda: model),
        "spec": Deferred(content_hash(settings), lambda: spec),
        "cells": Deferred(content_hash(named, list(hashes)), lambda: cells),
        "prompts": prompts,
        "judge": Deferred(judge.content_hash, lambda: judge),
        "note": _note(bank, language, judge),
        "sets": figure_sets(load_concepts([language], path=custom), language),
        "norms": norms and figure_norms(norms),
    }
    return Illustration(language, arguments, hashes, str(judge.card["weights_sha256"]))


def _cells(bank: VectorBank, model: str) -> tuple[Cell, ...]:
    vectors = bank.in_mode(MODE)
    calibrated = {emotion: vectors[emotion] for emotion in BASIC if emotion in vectors}
    if not calibrated:
        raise EmospaceError(
            f"the steering vectors of '{model}'",
            f"no basic emotion was calibrated in mode '{MODE}'",
            f"Make them: emospace steer calibrate --model {model}",
        )
    steered = (
        Cell(emotion, vector.kind, vector, vector.dose(MODE), 1.0, MODE)
        for emotion, vector in calibrated.items()
    )
    return (Cell(None, "none"), *steered)


def _note(bank: VectorBank, language: str, judge: Judge) -> str:
    """Return what makes the figures say less than they seem to."""
    made_in = bank.note.get("spec", {}).get("language", language)
    parts = [
        f"calibrated_in={made_in}" if made_in != language else "",
        f"calibrated_by={judge.name}" if bank.note.get("judge") == judge.name else "",
    ]
    return " ".join(part for part in parts if part)


def _marked(record: SteeringRecord, model: str, note: str) -> SteeringRecord:
    options = " ".join(part for part in (ILLUSTRATION, record.options, note) if part)
    return record.model_copy(update={"model": model, "options": options, "ci_low": None, "ci_high": None})
