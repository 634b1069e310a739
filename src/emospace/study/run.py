"""Run a study: go through the stages, write records and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.artefacts import write_parquet, write_text
from emospace.concepts import categories
from emospace.engines import running_on
from emospace.errors import EmospaceError
from emospace.evaluation.summary import steering_summary
from emospace.features import FeatureDictionary, shared_latents, specific_latents
from emospace.profiling import timed
from emospace.records import INPUT, NotComputed, PredictionRecord, Results, verdicts
from emospace.specs import StudySpec
from emospace.structure import category_ratings
from emospace.study.aligning import DECODING, align, decode
from emospace.study.concepts import LanguageConcepts
from emospace.study.cross_lingual import WIDE, comparable, cross_predict
from emospace.study.inputs import Inputs, LanguageInputs, load_inputs
from emospace.study.languages import compare_languages
from emospace.study.lock import sole_writer
from emospace.study.manifest import manifest, model_record, sae_record
from emospace.study.predicting import Latents, predict
from emospace.study.selecting import FEATURES, describe, select
from emospace.study.stage import KINDS, Deferred, StageResult
from emospace.study.steering import WHAT, Illustration, files_of, prepare
from emospace.study.summary import summarise

if TYPE_CHECKING:
    import pandas as pd

    from emospace.models import LanguageModel
    from emospace.norms import WordNorms


def run_study(spec: StudySpec, out: Path | str, *, command: str = "emospace study") -> Results:
    """Run a study into a folder, from whatever an earlier run of it left there.

    Parameters
    ----------
    spec
        Model, languages, autoencoder and tests; its seed decides every random draw.
    out
        Run folder; gains ``results.json`` and ``tables/*.parquet``, from which `report.write_report` makes the page,
        and keeps states and the results of stages to resume from.
    command
        The command that runs this study again, for the manifest.

    Raises
    ------
    EmospaceError
        If anything the specification names is missing or does not fit, or another run is writing into the folder;
        stages already computed are kept.
    """
    out = Path(out)
    with sole_writer(out), running_on(spec.engine, workers=spec.workers, device=spec.device):
        with timed("loading"):
            inputs = load_inputs(spec, out, command=command)
        return _run(inputs, out, command)


def _run(inputs: Inputs, out: Path, command: str) -> Results:
    spec, folder = inputs.spec, out / "stages"
    common: dict[str, Any] = {"model": inputs.name, "layer": inputs.layer, "seed": spec.seed}
    tests: dict[str, Any] = {**common, "n_permutations": spec.n_permutations}
    selected = {language: select(given, spec, folder) for language, given in inputs.languages.items()}
    missing = [*inputs.missing, *(row for found in selected.values() for row in found.not_computed)]
    tables = {language: found.tables[FEATURES] for language, found in selected.items() if found.tables}
    if not tables:
        raise EmospaceError(
            f"the languages {', '.join(spec.languages)}",
            "; ".join(row.why for row in missing),
            "Or add --sae none for dense directions.",
        )
    here = {language: inputs.languages[language] for language in tables}
    features = {language: FeatureDictionary(language, table) for language, table in tables.items()}
    concepts = {language: own.concepts(features[language].latents) for language, own in here.items()}
    ratings = {
        language: [category_ratings(own.sets, norms, language) for norms in own.norms]
        for language, own in here.items()
    }
    basic = [category.name for category in categories("basic")]
    stages = [StageResult({}, {FEATURES: table}) for table in tables.values()]
    stages.append(StageResult(not_computed=missing))
    stages += [
        describe.kept(
            folder,
            f"features-{language}",
            **common,
            language=language,
            sets=own.sets,
            n_pool=len(own.pool.words),
            basic=basic,
            features=tables[language],
            words=own.words.concept_words,
            folds=spec.folds,
        )
        for language, own in here.items()
    ]
    for language, own in here.items():
        compared = {**tests, "concepts": concepts[language]}
        stages.append(
            align.kept(
                folder,
                f"alignment-{language}",
                **compared,
                ratings=ratings[language],
                structures=own.structures,
            )
        )
        with_axes = [rated for rated in ratings[language] if not rated.no_axes]
        if spec.cebra and inputs.sae is not None and with_axes:
            stages.append(_decoded(folder, language, {**compared, "ratings": with_axes}))

    shared = None
    if inputs.sae is not None and len(features) > 1:
        # In both of two languages, in most of more.
        shared = shared_latents(features, spec.universal or len(features) // 2 + 1)
    predicted = [
        _predicted(inputs, folder, common, concepts[language], norms, features, shared)
        for language in here
        for norms in here[language].norms
    ]
    stages += predicted
    if len(here) > 1:
        stages.append(
            compare_languages.kept(
                folder,
                "languages",
                **tests,
                concepts=concepts,
                ratings=next(
                    (rated for several in ratings.values() for rated in several if not rated.no_axes), None
                ),
                families={language: inputs.sets.families.get(language, language) for language in here},
                firing_rates=None
                if inputs.sae is None
                else {language: own.words.firing_rates() for language, own in here.items()},
            )
        )
        stages.append(_crossed(folder, {**common, "folds": spec.folds}, here, concepts, shared, predicted))
        stages.append(_depth(stages, tuple(here), inputs.model.n_blocks))
    tried = prepare(spec, inputs.model, inputs.norms, out / "steering") if spec.steering else []
    stages += [steering_stage(illustration, inputs.model, folder) for illustration in tried]
    with timed("results"):
        results = _results(inputs, stages, tuple(here), command, files_of(tried))
        _write_tables(out, stages)
        write_text(out / "spec.json", spec.model_dump_json(indent=1) + "\n")
        # Last: whoever finds it finds its tables.
        results.save(out / "results.json")
    return results


def _decoded(folder: Path, language: str, arguments: Mapping[str, Any]) -> StageResult:
    try:
        return decode.kept(folder, f"cebra-{language}", **arguments)
    except ImportError as error:
        why = f"{error}; install it with pip install 'emospace[cebra]', or leave it out with --no-cebra"
        return StageResult(not_computed=[NotComputed(what=DECODING, why=why, language=language)])


def _predicted(
    inputs: Inputs,
    folder: Path,
    common: Mapping[str, Any],
    concepts: Deferred[LanguageConcepts],
    norms: WordNorms,
    features: Mapping[str, FeatureDictionary],
    shared: np.ndarray | None,
) -> StageResult:
    spec, words, rated = inputs.spec, inputs.languages[norms.language].words, norms.complete().words
    latents = Latents(
        shared=shared,
        specific=None if shared is None else specific_latents(features, norms.language),
        everywhere=np.unique(np.concatenate([each.latents for each in features.values()])),
        rule=spec.rule,
        n_draws=spec.n_draws,
    )
    return predict.kept(
        folder,
        f"prediction-{norms.language}-{norms.name}",
        **common,
        norms=norms,
        concepts=concepts,
        words=words.rated_words(rated),
        surface=words.surface(rated),
        corpus=words.corpus_vectors(rated),
        latents=None if inputs.sae is None else latents,
        n_shuffled=_n_shuffled(inputs),
        folds=spec.folds,
    )


def _n_shuffled(inputs: Inputs) -> int:
    """Return the number of shuffled concept-sets; selecting latents for one takes seconds, a direction does not."""
    if inputs.spec.n_shuffled is not None:
        return inputs.spec.n_shuffled
    return 100 if inputs.sae is None else 5


def _crossed(
    folder: Path,
    common: Mapping[str, Any],
    here: Mapping[str, LanguageInputs],
    concepts: Mapping[str, Deferred[LanguageConcepts]],
    shared: np.ndarray | None,
    predicted: Sequence[StageResult],
) -> StageResult:
    norms = {language: comparable(own.norms[0]) for language, own in here.items() if own.norms}
    missing = [
        NotComputed(
            what="prediction of ratings, within and across languages",
            why="no norms of this language are bundled or given (--norms FILE)",
            language=language,
        )
        for language in here
        if language not in norms
    ]
    if len(norms) < 2:
        return StageResult(not_computed=missing)
    within = {
        (row.language, row.features, row.target): row.r
        for found in predicted
        for row in found.records["prediction"]
        if isinstance(row, PredictionRecord)
        and row.excluded_concepts
        and row.features in WIDE
        and row.norms == norms[row.language].name
        and row.static_source in (None, INPUT)
    }
    found = cross_predict.kept(
        folder,
        "crossing",
        **common,
        concepts={language: concepts[language] for language in norms},
        words={language: here[language].words.rated_words(given.words) for language, given in norms.items()},
        norms=norms,
        shared=shared,
        within=within,
    )
    return replace(found, not_computed=missing)


def steering_stage(
    illustration: Illustration | NotComputed, model: LanguageModel, folder: Path
) -> StageResult:
    """Try the model's calibrated vectors on a few prompts of a language, or say why not."""
    if isinstance(illustration, NotComputed):
        return StageResult(not_computed=[illustration])
    try:
        return illustration.result(model, folder)
    except EmospaceError as error:
        # All figures before it stand without it.
        missing = NotComputed(what=WHAT, why=str(error), language=illustration.spec.language)
        return StageResult(not_computed=[missing])


def _depth(stages: Sequence[StageResult], languages: Sequence[str], n_blocks: int) -> StageResult:
    """Return how like people's distances the states of each language are at each layer, from its alignment."""
    from emospace.study.depth import depth_table

    found = {
        name: table for one in stages for name, table in one.tables.items() if name.startswith("rdm_human_")
    }
    people = {name: found[key] for name in languages if (key := f"rdm_human_{name}_valence_arousal") in found}
    layers = [one.tables["rdm_layers"] for one in stages if "rdm_layers" in one.tables]
    if not people:
        why = "no language of the study has people's valence and arousal of enough categories"
        return StageResult(not_computed=[NotComputed(what="RSA with people through the depth", why=why)])
    return StageResult(
        {}, {"rdm_depth": depth_table(dict(zip(languages, layers, strict=True)), people, n_blocks)}
    )


def _results(
    inputs: Inputs,
    stages: Sequence[StageResult],
    languages: Sequence[str],
    command: str,
    files: Mapping[str, str],
) -> Results:
    from emospace.stats import fdr_bh

    records: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    missing: list[NotComputed] = []
    for found in stages:
        for kind, rows in found.records.items():
            records[kind] += rows
        missing += found.not_computed
    for rows in (records["prediction"], records["comparison"], records["cross_language"]):
        tested = [index for index, row in enumerate(rows) if row.p is not None]
        if tested:
            q_values = fdr_bh(np.array([rows[index].p for index in tested]))
            for index, q in zip(tested, q_values, strict=True):
                rows[index] = rows[index].model_copy(update={"p_fdr": float(q)})
    answers = verdicts(languages, records["prediction"], records["comparison"], records["alignment"])
    return Results(
        **{kind: tuple(rows) for kind, rows in records.items()},
        summary=(
            *(answer.record() for answer in answers),
            *summarise(records),
            *steering_summary(records["steering"]),
        ),
        not_computed=tuple(missing),
        model=model_record(inputs, languages),
        sae=sae_record(inputs),
        manifest=manifest(inputs, languages, command, files),
    )


def _write_tables(out: Path, stages: Sequence[StageResult]) -> None:
    """Write each table; parts of one table from several stages go below one another."""
    import pandas as pd

    parts: dict[str, list[pd.DataFrame]] = {}
    for found in stages:
        for name, table in found.tables.items():
            parts.setdefault(name, []).append(table)
    for name, tables in parts.items():
        write_parquet(out / "tables" / f"{name}.parquet", pd.concat(tables, ignore_index=True))
