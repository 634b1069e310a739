"""Run a study: go through the stages, write records and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.artefacts import write_parquet, write_text
from emospace.engines import running_on
from emospace.errors import EmospaceError
from emospace.profiling import timed
from emospace.records import (
    AlignmentRecord,
    CategoryShiftRecord,
    ComparisonRecord,
    CrossLanguageRecord,
    FamilyRecord,
    FeatureRecord,
    LanguageRSARecord,
    NotComputed,
    PredictionRecord,
    Record,
    Results,
    SteeringRecord,
    UniversalRecord,
)
from emospace.study.cache import StageResult, remembered
from emospace.study.manifest import manifest, model_record, sae_record
from emospace.study.material import Study
from emospace.study.spec import StudySpec
from emospace.study.telling import told_categories

if TYPE_CHECKING:
    import pandas as pd

    from emospace.norms import WordNorms

KINDS: Mapping[str, type[Record]] = {
    "prediction": PredictionRecord,
    "comparison": ComparisonRecord,
    "alignment": AlignmentRecord,
    "language_rsa": LanguageRSARecord,
    "cross_language": CrossLanguageRecord,
    "category_shift": CategoryShiftRecord,
    "universal": UniversalRecord,
    "families": FamilyRecord,
    "features": FeatureRecord,
    "steering": SteeringRecord,
}


def run_study(spec: StudySpec, out: Path | str, *, command: str = "emospace study") -> Results:
    """Run a study into a folder, from whatever an earlier run of it left there.

    Parameters
    ----------
    spec
        What is asked.
    out
        Run folder; gains ``results.json`` and ``tables/*.parquet``, from which `report.write_report` makes the page.

    Raises
    ------
    EmospaceError
        If anything the specification names is missing or does not fit; stages already computed are kept.
    """
    return run(Study(spec, Path(out), command))


def run(study: Study) -> Results:
    """Go through the stages of a study, on the engine it names, and write ``results.json`` and ``tables/``."""
    spec = study.spec
    with running_on(spec.engine, workers=spec.workers, device=spec.device):
        return _run(study)


def _run(study: Study) -> Results:
    # A typo is better told at once than after the model is loaded.
    with timed("loading"):
        _ = study.asked_sets, study.norms, study.layer

    stages = [_features_stage(study, language) for language in study.spec.languages]
    study.languages = tuple(
        language
        for language, stage in zip(study.spec.languages, stages, strict=True)
        if stage.records.get("features")
    )
    if not study.languages:
        study.dictionary(study.spec.languages[0])
    stages += [_alignment_stage(study, language) for language in study.languages]
    predicted = [
        _prediction_stage(study, language, norms)
        for language in study.languages
        for norms in study.norms[language]
    ]
    stages += predicted
    if len(study.languages) > 1:
        stages += [_languages_stage(study), _crossing_stage(study, predicted)]
    if study.spec.steering:
        stages.append(steering_stage(study))
    with timed("results"):
        results = _results(study, stages)
        results.save(study.out / "results.json")
        _write_tables(study, stages)
        write_text(study.out / "spec.json", study.spec.model_dump_json(indent=1) + "\n")
    return results


def _stage(study: Study, name: str, inputs: Sequence[Any], compute: Any) -> StageResult:
    with timed(name):
        return remembered(study.out / "stages", name, inputs, KINDS, compute)


def _features_stage(study: Study, language: str) -> StageResult:
    def compute() -> StageResult:
        try:
            dictionary = study.dictionary(language)
        except EmospaceError as error:
            if len(study.spec.languages) == 1:
                raise
            # The other languages stand without it.
            missing = NotComputed(what="every figure", why=str(error), language=language)
            return StageResult(not_computed=[missing])
        basic = {category.name for category in _basic()}
        counts = dictionary.table.category.value_counts()
        told = told_categories(study, language)
        records = [
            FeatureRecord(
                model=study.name,
                layer=study.layer,
                n=len(study.sets.words(language, category)) + len(study.pool(language).words),
                seed=study.spec.seed,
                language=language,
                category=category,
                n_concepts=len(study.sets.words(language, category)),
                n_features=int(counts.get(category, 0)),
                basic=category in basic,
                provenance=study.sets.provenance,
                **told.get(category, {}),
            )
            for category in study.sets.categories
            if study.sets.words(language, category)
        ]
        table = dictionary.table.assign(language=language)
        return StageResult({"features": records}, {"features": table})

    return _stage(study, f"features-{language}", study.feature_inputs(language), compute)


def _alignment_stage(study: Study, language: str) -> StageResult:
    from emospace.study.aligning import align

    inputs = [
        *study.feature_inputs(language),
        [norms.content_hash for norms in study.norms[language]],
        study.sets.families.get(language),
        study.spec.n_permutations,
        study.spec.cebra,
    ]
    return _stage(study, f"alignment-{language}", inputs, lambda: align(study, language))


def _languages_stage(study: Study) -> StageResult:
    from emospace.study.languages import compare_languages

    inputs = [
        *[study.feature_inputs(language) for language in study.languages],
        [norms.content_hash for language in study.languages for norms in study.norms[language]],
        study.spec.n_permutations,
        study.at_least,
    ]
    return _stage(study, "languages", inputs, lambda: compare_languages(study))


def _crossing_stage(study: Study, predicted: Sequence[StageResult]) -> StageResult:
    from emospace.study.crossing import cross_predict

    inputs = [
        *_prediction_inputs(study),
        [norms.content_hash for language in study.languages for norms in study.norms[language][:1]],
    ]
    within = [
        row for stage in predicted for row in stage.records["prediction"] if isinstance(row, PredictionRecord)
    ]
    return _stage(study, "crossing", inputs, lambda: cross_predict(study, within))


def _prediction_inputs(study: Study) -> list[Any]:
    return [
        *[study.feature_inputs(name) for name in study.languages],
        study.at_least,
        study.spec.n_draws,
        study.spec.n_shuffled,
        study.spec.folds,
    ]


def _prediction_stage(study: Study, language: str, norms: WordNorms) -> StageResult:
    from emospace.study.predicting import predict

    inputs = [*_prediction_inputs(study), norms.content_hash]
    return _stage(
        study, f"prediction-{language}-{norms.name}", inputs, lambda: predict(study, language, norms)
    )


def steering_stage(study: Study) -> StageResult:
    """Try the model's calibrated vectors on a few prompts."""
    from emospace.study.steering import WHAT, illustrate

    asked = study.illustration
    if isinstance(asked, NotComputed):
        return StageResult(not_computed=[asked])
    try:
        return _stage(study, "steering", asked.inputs, lambda: illustrate(study, asked))
    except EmospaceError as error:
        # All figures before it stand without it.
        missing = NotComputed(what=WHAT, why=str(error), language=asked.spec.language)
        return StageResult(not_computed=[missing])


def _results(study: Study, stages: Sequence[StageResult]) -> Results:
    from emospace.stats import fdr_bh

    records: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    missing: list[NotComputed] = []
    for stage in stages:
        for kind, rows in stage.records.items():
            records[kind] += rows
        missing += stage.not_computed
    for rows in (records["prediction"], records["cross_language"]):
        tested = [index for index, row in enumerate(rows) if row.p is not None]
        if tested:
            q_values = fdr_bh(np.array([rows[index].p for index in tested]))
            for index, q in zip(tested, q_values, strict=True):
                rows[index] = rows[index].model_copy(update={"p_fdr": float(q)})
    return Results(
        **{kind: tuple(rows) for kind, rows in records.items()},
        not_computed=tuple(missing),
        model=model_record(study),
        sae=sae_record(study),
        manifest=manifest(study),
    )


def _write_tables(study: Study, stages: Sequence[StageResult]) -> None:
    """Write each table; parts of one table from several stages go below one another."""
    import pandas as pd

    parts: dict[str, list[pd.DataFrame]] = {}
    for stage in stages:
        for name, table in stage.tables.items():
            parts.setdefault(name, []).append(table)
    for name, tables in parts.items():
        write_parquet(study.out / "tables" / f"{name}.parquet", pd.concat(tables, ignore_index=True))


def _basic() -> Sequence[Any]:
    from emospace.concepts import categories

    return categories("basic")
