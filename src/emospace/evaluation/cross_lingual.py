"""Steering across languages: vectors of each language's concepts, judged in the answers of every language.

A source language's vector is made by the recipe of the model's calibrated one of the same emotion and acts as that
does: operation, tokens, layers and dose. Nothing is calibrated anew, so that sources differ in their directions alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.concepts import ConceptSets, load_concepts, unknown_category
from emospace.display import track
from emospace.errors import EmospaceError, InvalidInput
from emospace.evaluation.cells import Cell, random_vectors
from emospace.evaluation.cross_lingual_tables import ALL, cross_lingual_tables
from emospace.evaluation.grid import Evaluation, Group, Judged, judge_cells, records_of
from emospace.evaluation.materials import features_of, kept_states
from emospace.evaluation.prompts import PromptKind, load_prompts, prompt_kind, prompt_languages
from emospace.evaluation.running import load_reporting_judge, save_study
from emospace.evaluation.summary import cross_lingual_summary
from emospace.features import neutral_pool
from emospace.lexicon import base_language, lexicon_languages
from emospace.norms import norms_for
from emospace.records import NotComputed, SteeringRecord, provenance
from emospace.sae import SparseAutoencoder, sae_for
from emospace.specs import BASIC, CrossingSpec, Mode
from emospace.steering.vector import SteeringVector
from emospace.steering.vectors import Recipe, category_vectors

if TYPE_CHECKING:
    from emospace.judges import Judge
    from emospace.models import LanguageModel
    from emospace.steering.bank import VectorBank

Vectors = Mapping[str, Mapping[str, SteeringVector]]
"""Language -> emotion -> vector."""

WHAT = "steering across languages"


@dataclass(frozen=True, eq=False)
class Plan:
    """What will be tried.

    Attributes
    ----------
    calibrated
        Emotion -> the model's calibrated vector, made in the language `home`.
    missing
        Languages and emotions left out, and why.
    kind
        What the model is prompted with.
    """

    sources: tuple[str, ...]
    outputs: tuple[str, ...]
    calibrated: Mapping[str, SteeringVector]
    home: str
    missing: tuple[NotComputed, ...]
    kind: PromptKind


def run_cross_lingual(
    spec: CrossingSpec, model: LanguageModel, bank: VectorBank, *, command: str
) -> Evaluation:
    """Steer answers in every output language by the concepts of every source language, into the folder `spec.out`.

    Writes ``results.json`` (a record for each source, output and emotion, its random directions and unsteered answers)
    and ``tables/crossing_*.parquet``, from which `report.write_report` makes the page. Answers already generated are
    kept. An answer may leave the language of its prompt, so the concept words of all output languages are masked, and
    the tables say how many answers stay. Tables: ``rates`` (every figure), ``means`` (over the basic six, source by
    output), ``cosines`` (between the sources' vectors), ``samples`` (answers to the same prompts).

    Raises
    ------
    EmospaceError
        A language without concept-sets, neutral pool, prompts or a fit judge; an emotion no vector was calibrated for;
        more tokens than the cap. All before anything is generated.
    """
    judge = load_reporting_judge(spec.judge, bank)
    sets = load_concepts(path=spec.concepts)
    planned = plan(spec, bank, sets, judge, prompt_kind(model))
    _check_cap(spec, planned)
    vectors, lacking = source_vectors(spec, model, bank, sets, planned)
    cells = cross_lingual_cells(spec, planned.calibrated, vectors)
    missing = [*planned.missing, *lacking]
    judged: dict[str, Judged] = {}
    records: list[SteeringRecord] = []
    for language in planned.outputs:
        answers_in = spec.in_language(language)
        part = judged[language] = judge_cells(
            *(answers_in, model, cells, judge),
            sets=sets,
            norms=norms_for(language),
            prompts=load_prompts(language, "evaluation", kind=planned.kind)[: spec.n_prompts],
            masked_in=planned.outputs,
        )
        groups = [group for group in part.groups if _is_published(group, cells)]
        records += (
            _with_dose_origin(record, planned.home) for record in records_of(answers_in, model, judge, groups)
        )
        missing += part.not_computed
    tables = cross_lingual_tables(judged, vectors, seed=spec.seed)
    n_answers = sum(part.n_answers for part in judged.values())
    evaluation = Evaluation(tuple(records), tables, tuple(missing), n_answers)
    save_study(
        *(spec, model, bank, judge, evaluation),
        cross_lingual_summary(records, tables["means"], tables["cosines"]),
        command=command,
        prefix="crossing",
        languages=planned.outputs,
        sources=(
            provenance.concepts_source(sets, language, f"vectors of {language}")
            for language in planned.sources
        ),
    )
    return evaluation


def plan(
    spec: CrossingSpec,
    bank: VectorBank,
    sets: ConceptSets,
    judge: Judge,
    kind: PromptKind = "questions",
) -> Plan:
    """Return the languages and emotions of a study; those named must be usable, others are left out, with the reason.

    Raises
    ------
    EmospaceError
        As `run_cross_lingual`; the tokens are not counted here.
    """
    if "language" not in bank.note.get("spec", {}):
        raise EmospaceError(WHAT, "the vectors do not say how they were made", "Calibrate them again.")
    missing: list[NotComputed] = []
    calibrated = _calibrated(spec, bank, sets, missing)
    sources = []
    for language in spec.sources or sets.languages:
        sets.rows(language)
        if base_language(language) in lexicon_languages():
            sources.append(language)
            continue
        why = "it has no frequency table, from which the neutral words beside its concepts are drawn"
        if spec.sources:
            hint = f"Leave it out; there are: {', '.join(lexicon_languages())}."
            raise InvalidInput(f"source language '{language}'", why, hint)
        missing.append(NotComputed(what=f"{WHAT}: vectors", why=why, language=language))
    outputs = []
    for language in spec.outputs or prompt_languages(kind):
        if spec.outputs:
            load_prompts(language, "evaluation", kind=kind)
            sets.rows(language)
        why = _unfit(spec, language, sets, judge)
        if not why:
            outputs.append(language)
            continue
        missing.append(NotComputed(what=f"{WHAT}: answers", why=why, language=language))
    if not outputs:
        whys = "; ".join(
            f"{lacking.language}: {lacking.why}" for lacking in missing if lacking.what.endswith("answers")
        )
        hint = "Name another judge (hf:NAME, llm:MODEL@URL), or lower least_auroc."
        raise InvalidInput(f"{WHAT} judged by '{judge.name}'", whys, hint)
    home = str(bank.note["spec"]["language"])
    return Plan(
        tuple(dict.fromkeys(sources)), tuple(dict.fromkeys(outputs)), calibrated, home, tuple(missing), kind
    )


def mean_auroc(judge: Judge, language: str) -> float | None:
    """Return a judge's held-out AUROC, mean of the basic six; None where one of them was not measured."""
    mean = float(np.mean(np.array([judge.auroc(language, emotion) for emotion in BASIC], dtype=np.float64)))
    return None if np.isnan(mean) else mean


def _unfit(spec: CrossingSpec, language: str, sets: ConceptSets, judge: Judge) -> str:
    """Return why answers in a language cannot be judged, nothing where they can."""
    if language not in sets.languages:
        return "there are no concept-sets in it, whose words are masked in its answers"
    if spec.least_auroc == 0:
        judge.check_language(language)
        return ""
    auroc = mean_auroc(judge, language)
    if auroc is None:
        return f"the judge '{judge.name}' has no held-out AUROC for all of the basic six"
    if auroc < spec.least_auroc:
        return f"the held-out AUROC of '{judge.name}' is {auroc:.2f} (mean of the basic six), below {spec.least_auroc:g}"
    return ""


def _calibrated(
    spec: CrossingSpec, bank: VectorBank, sets: ConceptSets, missing: list[NotComputed]
) -> dict[str, SteeringVector]:
    vectors = bank.in_mode(spec.mode)
    for emotion in spec.emotions:
        if emotion not in (*sets.categories, *bank.names):
            raise unknown_category(emotion, bank.names, "emotion")
        if emotion not in vectors:
            why = f"no vector was calibrated for it in mode '{spec.mode}' (emospace steer calibrate)"
            missing.append(NotComputed(what=f"{WHAT} towards {emotion}", why=why))
    calibrated = {emotion: vectors[emotion] for emotion in spec.emotions if emotion in vectors}
    if not calibrated:
        raise InvalidInput(
            f"{WHAT} towards {', '.join(spec.emotions)}",
            f"no vector was calibrated for any of them in mode '{spec.mode}'",
            f"There are: {', '.join(vectors)}; others: emospace steer calibrate.",
        )
    return calibrated


def source_vectors(
    spec: CrossingSpec, model: LanguageModel, bank: VectorBank, sets: ConceptSets, planned: Plan
) -> tuple[dict[str, dict[str, SteeringVector]], list[NotComputed]]:
    """Return each source language's vectors, last (as language ``all``) the mean of their unit directions.

    In the language of the calibrated vectors these are taken as they are, where the concepts are still the same. An
    emotion is left out of a language that has no direction for it at one of the layers the calibrated vector acts at.
    """
    vectors: dict[str, dict[str, SteeringVector]] = {}
    missing: list[NotComputed] = []
    home, notes = planned.home, [vector.note for vector in planned.calibrated.values()]
    concepts = sets.select([home]).content_hash if home in planned.sources else None
    keeps_home = concepts is not None and all(note.get("concepts") == concepts for note in notes)
    is_dense = all(note["recipe"].get("source") == "dense" for note in notes)
    sae = None
    if not is_dense and not (keeps_home and planned.sources == (home,)):
        sae = sae_for(model, bank.note["spec"].get("sae", "auto"))
    for language in track(planned.sources, "Vectors of each language", "languages"):
        made, why = dict(planned.calibrated), ""
        if language != home or not keeps_home:
            made, why = language_vectors(model, sae, sets, language, planned.calibrated, seed=spec.seed)
        if made:
            vectors[language] = made
        lacking = [emotion for emotion in planned.calibrated if emotion not in made]
        if lacking:
            what = f"vectors of its concepts for {', '.join(lacking)}"
            missing.append(NotComputed(what=what, why=why, language=language))
    if not vectors:
        whys = "; ".join(f"{part.language}: {part.why}" for part in missing)
        raise EmospaceError(
            WHAT, f"no source language has a vector ({whys})", "Name other languages or emotions."
        )
    if len(vectors) > 1:
        vectors[ALL] = pooled(vectors, planned.calibrated)
    return vectors, missing


def language_vectors(
    model: LanguageModel,
    sae: SparseAutoencoder | None,
    sets: ConceptSets,
    language: str,
    calibrated: Mapping[str, SteeringVector],
    *,
    seed: int,
) -> tuple[dict[str, SteeringVector], str]:
    """Return the vectors of a language's concepts by the recipes of calibrated ones, and why some are not there.

    Raises
    ------
    EmospaceError
        If too few neutral words of the language match its concepts.
    """
    sets = sets.select([language])
    recipes = {emotion: Recipe(**vector.note["recipe"]) for emotion, vector in calibrated.items()}
    pool = neutral_pool(model, sets, language, seed)
    why = "its concepts have no feature for them at the layer of the SAE"
    features = None
    if sae is not None:
        try:
            features = features_of(model, sae, sets, language, pool, seed)
        except EmospaceError as error:
            why = error.why
    layers = sorted({layer for vector in calibrated.values() for layer in vector.layers})
    # The norms measured in this text go nowhere: a vector takes its calibrated dose and norms from `calibrated`.
    text = sets.carriers[language][0].format(word=sets.words(language)[0])
    states = kept_states(model, sets, language, pool, [text], layers, sae)
    made: dict[str, SteeringVector] = {}
    for recipe in dict.fromkeys(recipes.values()):
        if recipe.source != "dense" and features is None:
            continue
        drawn = category_vectors(states, sets, recipe, sae=sae, features=features, layers=layers)
        for emotion, vector in calibrated.items():
            new = drawn.get(emotion)
            if recipes[emotion] == recipe and new is not None and set(vector.layers) <= set(new.layers):
                directions = {layer: new.directions[layer] for layer in vector.layers}
                made[emotion] = replace(vector, directions=directions, note=new.note)
    return {emotion: made[emotion] for emotion in calibrated if emotion in made}, why


def pooled(vectors: Vectors, calibrated: Mapping[str, SteeringVector]) -> dict[str, SteeringVector]:
    """Return for each emotion the mean of the languages' unit directions, made unit again."""
    means = {}
    for emotion, vector in calibrated.items():
        parts = [made[emotion] for made in vectors.values() if emotion in made]
        if len(parts) > 1:
            directions = {
                layer: np.mean([part.directions[layer] for part in parts], axis=0) for layer in vector.layers
            }
            note = {"language": ALL, "languages": [part.note["language"] for part in parts]}
            means[emotion] = replace(vector, directions=directions, note=note)
    return means


def cross_lingual_cells(
    spec: CrossingSpec, calibrated: Mapping[str, SteeringVector], vectors: Vectors
) -> list[Cell]:
    """Return the cells of one output language: unsteered, random directions wherever a vector acts, every vector."""
    cells = [Cell(None, "none")]
    usual = float(np.median([vector.dose(spec.mode) for vector in calibrated.values()]))
    for vector in _places(calibrated, spec.mode).values():
        dose = vector.dose(spec.mode) * spec.factor
        cells += [
            Cell(None, "random", drawn, dose, dose / usual, spec.mode, draw=draw)
            for draw, drawn in enumerate(random_vectors([vector], spec.n_random, seed=spec.seed))
        ]
    for made in vectors.values():
        for emotion, vector in made.items():
            dose = calibrated[emotion].dose(spec.mode) * spec.factor
            cells.append(Cell(emotion, vector.kind, vector, dose, spec.factor, spec.mode))
    return cells


def _places(calibrated: Mapping[str, SteeringVector], mode: Mode) -> dict[tuple[Any, ...], SteeringVector]:
    """Return one vector for each dose at each set of layers and tokens."""
    return {(v.layers, v.dose(mode), v.scope, v.op, v.window): v for v in calibrated.values()}


def _check_cap(spec: CrossingSpec, planned: Plan) -> None:
    """Raise `EmospaceError` where the study could generate more tokens than its cap."""
    n_sources = len(planned.sources) + (len(planned.sources) > 1)
    each = (
        1 + len(_places(planned.calibrated, spec.mode)) * spec.n_random + n_sources * len(planned.calibrated)
    )
    prompts = [
        load_prompts(language, "evaluation", kind=planned.kind)[: spec.n_prompts]
        for language in planned.outputs
    ]
    total = each * sum(map(len, prompts)) * spec.sampling.n_tokens
    if total > spec.token_cap:
        raise InvalidInput(
            f"{WHAT}: {len(planned.sources)} sources, {len(planned.outputs)} outputs, {len(planned.calibrated)} emotions",
            f"its {each * len(prompts)} cells would generate {total:,} tokens, and at most {spec.token_cap:,} are allowed",
            "Name fewer languages or emotions, take fewer prompts, or raise token_cap.",
        )


def _is_published(group: Group, cells: Sequence[Cell]) -> bool:
    """Return whether a group is published: random directions only where a vector of their target acts as they do."""
    if group.cell.kind != "random":
        return True
    alike = (group.cell.layers, group.cell.dose)
    return any(cell.emotion == group.target and (cell.layers, cell.dose) == alike for cell in cells)


def _with_dose_origin(record: SteeringRecord, home: str) -> SteeringRecord:
    """Return a record that says whose dose it is, where that was calibrated for the vector of another language."""
    source = record.source_language or record.language
    if record.vector in ("none", "random") or source == home:
        return record
    options = " ".join(part for part in (record.options, f"dose_of={home}") if part)
    return record.model_copy(update={"options": options, "calibrated": False})
