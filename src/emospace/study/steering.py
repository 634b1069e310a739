"""The last stage: the basic emotions on a few prompts, an illustration of what `emospace steer evaluate` tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emospace.artefacts import content_hash
from emospace.errors import EmospaceError
from emospace.evaluation.answers import cell_hash
from emospace.evaluation.cells import Cell, SteeringSpec
from emospace.evaluation.generation import Sampling
from emospace.evaluation.grid import evaluate
from emospace.evaluation.prompts import load_prompts
from emospace.evaluation.running import InMode
from emospace.judges import BASIC, Judge
from emospace.judges.embedded import load_subword
from emospace.records import NotComputed, SteeringRecord
from emospace.steering.bank import load_vectors
from emospace.study.cache import StageResult

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets
    from emospace.norms import WordNorms
    from emospace.steering.bank import VectorBank
    from emospace.study.material import Study

N_PROMPTS, N_TOKENS = 8, 32
WORD = "illustration"
"""In `SteeringRecord.options`, by which the report knows that nothing here is tested."""
WHAT = "steering, an illustration"


@dataclass(frozen=True, eq=False)
class Illustration:
    """What is tried: the unsteered model, and each basic emotion at its calibrated dose.

    Attributes
    ----------
    judge
        The one that reports.
    note
        Said in the options of all records: doses that were calibrated in another language, or by this very judge.
    sets
        Concept-sets whose words are masked.
    missing
        Basic emotions without a calibrated vector.
    inputs
        All that its figures hang on.
    files
        Vectors and judge, for the manifest.
    """

    spec: SteeringSpec
    cells: tuple[Cell, ...]
    prompts: tuple[str, ...]
    judge: Judge
    note: str
    sets: ConceptSets
    norms: WordNorms | None
    missing: tuple[str, ...]
    inputs: tuple[Any, ...]
    files: dict[str, str]


def prepare(study: Study) -> Illustration | NotComputed:
    """Return what a study's model can be tried on, or the reason why it cannot: no vectors, prompts or judge."""
    try:
        return _prepare(study)
    except EmospaceError as error:
        return NotComputed(what=WHAT, why=str(error))


def illustrate(study: Study, asked: Illustration) -> StageResult:
    """Return one record for each emotion, steered and unsteered, and the table ``steering_samples``.

    Intervals are left out: so few prompts bear none.

    Raises
    ------
    EmospaceError
        If a vector cannot be applied to the model; answers already generated are kept.
    """
    found = evaluate(
        asked.spec,
        study.model,
        asked.cells,
        asked.judge,
        sets=asked.sets,
        norms=asked.norms,
        prompts=asked.prompts,
        factual=(),
    )
    language = asked.spec.language
    missing = [
        NotComputed(
            what=f"{WHAT} towards {emotion}",
            why="the model's vectors hold none calibrated for it (emospace steer calibrate)",
            language=language,
        )
        for emotion in asked.missing
    ]
    records = [_marked(record, study, asked.note) for record in found.records]
    samples = {"steering_samples": found.tables["samples"]}
    return StageResult({"steering": records}, samples, [*found.not_computed, *missing])


def _prepare(study: Study) -> Illustration:
    from emospace.concepts import load_concepts

    bank = load_vectors(study.model)
    judge = load_subword()
    language, prompts = _first_heard(study.spec.languages, judge)
    spec = SteeringSpec(
        model=study.spec.model,
        doses=(1.0,),
        judge=judge.name,
        language=language,
        n_prompts=N_PROMPTS,
        sampling=Sampling(n_tokens=N_TOKENS, seed=study.spec.seed),
        batch_size=N_PROMPTS * (1 + len(BASIC)),  # all at once
        seed=study.spec.seed,
        out=study.out / "steering",
    )
    cells = _cells(spec, bank, study.model.name)
    made = bank.note.get("spec", {})
    # Masked are the words the vectors were made of: a study's own sets only where its vectors are of its own, too.
    sets = load_concepts([language], path=study.spec.concepts if made.get("concepts") else None)
    norms = next(iter(study.norms[language]), None)
    note = _note(bank, language, judge)
    hashes = [cell_hash(spec, study.model, cell, prompts, ()) for cell in cells]
    tried = {cell.emotion for cell in cells}
    return Illustration(
        spec=spec,
        cells=cells,
        prompts=prompts,
        judge=judge,
        note=note,
        sets=sets,
        norms=norms,
        missing=tuple(emotion for emotion in BASIC if emotion not in tried),
        inputs=(
            [(cell.emotion, cell.kind) for cell in cells],
            hashes,
            judge.content_hash,
            language,
            note,
            sets.content_hash,
            norms.content_hash if norms else None,
            spec.seed,
        ),
        files={"steering vectors": content_hash(hashes), "judge": str(judge.card["weights_sha256"])},
    )


def _first_heard(languages: Sequence[str], judge: Judge) -> tuple[str, tuple[str, ...]]:
    """Return the first language that has prompts and that the judge judges, and its first evaluation prompts."""
    reasons = []
    for language in languages:
        try:
            prompts = load_prompts(language, "evaluation")[:N_PROMPTS]
            judge.check_language(language)
        except EmospaceError as error:
            reasons.append(f"{error.what}: {error.why}")
        else:
            return language, prompts
    raise EmospaceError(
        f"the languages {', '.join(languages)}",
        "; ".join(reasons),
        "Add --languages en, or bring prompts and a judge: emospace steer evaluate --prompts FILE --judge NAME.",
    )


def _cells(spec: SteeringSpec, bank: VectorBank, model: str) -> tuple[Cell, ...]:
    vectors = InMode(bank, spec.mode)
    own = {emotion: vectors.vector(emotion) for emotion in BASIC if emotion in vectors.names}
    if not own:
        raise EmospaceError(
            f"the steering vectors of '{model}'",
            f"no basic emotion was calibrated in mode '{spec.mode}'",
            f"Make them: emospace steer calibrate --model {model}",
        )
    steered = (
        Cell(emotion, vector.kind, vector, vector.dose(spec.mode), 1.0, spec.mode)
        for emotion, vector in own.items()
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


def _marked(record: SteeringRecord, study: Study, note: str) -> SteeringRecord:
    options = " ".join(part for part in (WORD, record.options, note) if part)
    return record.model_copy(
        update={"model": study.name, "options": options, "ci_low": None, "ci_high": None}
    )
