"""Run a study: go through the stages, write records and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from emospace.records import NotComputed, Results, verdicts
from emospace.specs import StudySpec
from emospace.stats import fdr_bh
from emospace.structure import CategoryRatings, category_ratings
from emospace.study.agreement import norms_agreement
from emospace.study.aligning import DECODING, align, decode
from emospace.study.cross_lingual import comparable, cross_predict, r_within
from emospace.study.depth import follow_depth
from emospace.study.inputs import Inputs, LanguageInputs, load_inputs
from emospace.study.languages import compare_languages
from emospace.study.lock import sole_writer
from emospace.study.manifest import manifest, model_record, sae_record
from emospace.study.predicting import Latents, predict
from emospace.study.selecting import FEATURES, describe, select
from emospace.study.stage import KINDS, Deferred, StageResult
from emospace.study.steering import files_of, prepare, steering_stage
from emospace.study.summary import summarise

if TYPE_CHECKING:
    import pandas as pd

    from emospace.study.concepts import LanguageConcepts


def run_study(spec: StudySpec, out: Path | str, *, command: str = "emospace study") -> Results:
    """Run a study into a folder, and resume from what an earlier run left there.

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
    folder = out / "stages"
    with sole_writer(out), running_on(spec.engine, workers=spec.workers, device=spec.device):
        with timed("loading"):
            inputs = load_inputs(spec, out, command=command)
        languages, missing = _select(inputs, folder)
        stages = [StageResult({}, {FEATURES: language.features.table}) for language in languages.values()]
        stages.append(StageResult(not_computed=missing))
        stages += _within_languages(inputs, languages, folder)
        norms = {name: language.inputs.norms for name, language in languages.items()}
        stages.append(norms_agreement(stages, norms, **_common(inputs)))
        if len(languages) > 1:
            stages += list(_between_languages(inputs, languages, folder, stages))
        trials = prepare(spec, inputs.model, inputs.norms, out / "steering") if spec.steering else []
        stages += [steering_stage(trial, folder) for trial in trials]
        with timed("results"):
            results = _results(inputs, stages, tuple(languages), command, files_of(trials))
            _write_tables(out, stages)
            write_text(out / "spec.json", spec.model_dump_json(indent=1) + "\n")
            # Written last, so that results never lack their tables.
            results.save(out / "results.json")
        return results


@dataclass(frozen=True, eq=False)
class Language:
    """A language that has features: they, its concepts in their space, and people's ratings of its categories."""

    inputs: LanguageInputs
    features: FeatureDictionary
    described: StageResult
    concepts: Deferred[LanguageConcepts]
    ratings: Sequence[CategoryRatings]

    @property
    def rated(self) -> list[CategoryRatings]:
        """The ratings of enough categories for axes."""
        return [ratings for ratings in self.ratings if not ratings.no_axes]


def _common(inputs: Inputs) -> dict[str, Any]:
    """Return the arguments that every stage of figures takes."""
    return {"model": inputs.name, "layer": inputs.layer, "seed": inputs.spec.seed}


def _select(inputs: Inputs, folder: Path) -> tuple[dict[str, Language], list[NotComputed]]:
    """Return the languages that have features, and what the others lack."""
    languages, missing = {}, list(inputs.missing)
    basic = [category.name for category in categories("basic")]
    for name, given in inputs.languages.items():
        selected = select(given, inputs.spec, folder)
        missing += selected.not_computed
        if FEATURES not in selected.tables:
            continue
        features = FeatureDictionary(name, selected.tables[FEATURES])
        described = describe.kept(
            folder,
            f"features-{name}",
            **_common(inputs),
            language=name,
            sets=given.sets,
            n_pool=len(given.pool.words),
            basic=basic,
            features=features.table,
            words=given.words.concept_words,
            folds=inputs.spec.folds,
        )
        ratings = [category_ratings(given.sets, norms, name) for norms in given.norms]
        languages[name] = Language(given, features, described, given.concepts(features.latents), ratings)
    if not languages:
        raise EmospaceError(
            f"the languages {', '.join(inputs.spec.languages)}",
            "; ".join(row.why for row in missing),
            "Or add --sae none for dense directions.",
        )
    return languages, missing


def _within_languages(
    inputs: Inputs, languages: Mapping[str, Language], folder: Path
) -> Iterator[StageResult]:
    """Yield the figures of each language: its features, its alignment with people, the ratings they predict."""
    spec, common = inputs.spec, _common(inputs)
    yield from (language.described for language in languages.values())
    for name, language in languages.items():
        compared = {**common, "concepts": language.concepts, "n_permutations": spec.n_permutations}
        yield align.kept(
            folder,
            f"alignment-{name}",
            **compared,
            ratings=language.ratings,
            structures=language.inputs.structures,
        )
        if spec.cebra and inputs.sae is not None and language.rated:
            yield _decoded(folder, name, {**compared, "ratings": language.rated})
    features = {name: language.features for name, language in languages.items()}
    shared = _shared(inputs, languages)
    for name, language in languages.items():
        latents = Latents(
            shared=shared,
            specific=None if shared is None else specific_latents(features, name),
            everywhere=np.unique(np.concatenate([each.latents for each in features.values()])),
            rule=spec.rule,
            n_draws=spec.n_draws,
        )
        for norms in language.inputs.norms:
            words, rated = language.inputs.words, norms.complete().words
            yield predict.kept(
                folder,
                f"prediction-{name}-{norms.name}",
                **common,
                norms=norms,
                concepts=language.concepts,
                words=words.rated_words(rated),
                surface=words.surface(rated),
                corpus=words.corpus_vectors(rated),
                latents=None if inputs.sae is None else latents,
                n_shuffled=_n_shuffled(inputs),
                folds=spec.folds,
            )


def _shared(inputs: Inputs, languages: Mapping[str, Language]) -> np.ndarray | None:
    """Return the latents that enough languages share: both of two, most of more, or as many as the study asks for."""
    if inputs.sae is None or len(languages) < 2:
        return None
    features = {name: language.features for name, language in languages.items()}
    return shared_latents(features, inputs.spec.universal or len(languages) // 2 + 1)


def _n_shuffled(inputs: Inputs) -> int:
    """Return the number of shuffled concept-sets; selecting latents for one takes seconds, a direction does not."""
    if inputs.spec.n_shuffled is not None:
        return inputs.spec.n_shuffled
    return 100 if inputs.sae is None else 5


def _decoded(folder: Path, language: str, arguments: Mapping[str, Any]) -> StageResult:
    try:
        return decode.kept(folder, f"cebra-{language}", **arguments)
    except ImportError as error:
        why = f"{error}; install it with pip install 'emospace[cebra]', or leave it out with --no-cebra"
        return StageResult(not_computed=[NotComputed(what=DECODING, why=why, language=language)])


def _between_languages(
    inputs: Inputs, languages: Mapping[str, Language], folder: Path, stages: Sequence[StageResult]
) -> Iterator[StageResult]:
    """Yield the figures between languages, some of them from stages of each language."""
    spec, common = inputs.spec, _common(inputs)
    yield compare_languages.kept(
        folder,
        "languages",
        **common,
        n_permutations=spec.n_permutations,
        concepts={name: language.concepts for name, language in languages.items()},
        ratings=next((ratings for language in languages.values() for ratings in language.rated), None),
        families={name: inputs.sets.families.get(name, name) for name in languages},
        firing_rates=None
        if inputs.sae is None
        else {name: language.inputs.words.firing_rates() for name, language in languages.items()},
    )
    norms = {
        name: compared
        for name, language in languages.items()
        if language.inputs.norms and (compared := comparable(language.inputs.norms[0])) is not None
    }
    why = "no norms of this language are bundled or given (--norms FILE)"
    what = "prediction of ratings, within and across languages"
    yield StageResult(
        not_computed=[
            NotComputed(what=what, why=why, language=name) for name in languages if name not in norms
        ]
    )
    if len(norms) > 1:
        yield cross_predict.kept(
            folder,
            "crossing",
            **common,
            concepts={name: languages[name].concepts for name in norms},
            words={
                name: languages[name].inputs.words.rated_words(rated.words) for name, rated in norms.items()
            },
            norms=norms,
            shared=_shared(inputs, languages),
            within=r_within(stages, norms),
            folds=spec.folds,
        )
    yield follow_depth(stages, tuple(languages), inputs.model.n_blocks)


def _results(
    inputs: Inputs,
    stages: Sequence[StageResult],
    languages: Sequence[str],
    command: str,
    files: Mapping[str, str],
) -> Results:
    records: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for result in stages:
        for kind, rows in result.records.items():
            records[kind] += rows
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
        not_computed=tuple(row for result in stages for row in result.not_computed),
        model=model_record(inputs, languages),
        sae=sae_record(inputs),
        manifest=manifest(inputs, languages, command, files),
    )


def _write_tables(out: Path, stages: Sequence[StageResult]) -> None:
    """Write each table; parts of one table from several stages go below one another."""
    import pandas as pd

    parts: dict[str, list[pd.DataFrame]] = {}
    for result in stages:
        for name, table in result.tables.items():
            parts.setdefault(name, []).append(table)
    for name, tables in parts.items():
        write_parquet(out / "tables" / f"{name}.parquet", pd.concat(tables, ignore_index=True))
