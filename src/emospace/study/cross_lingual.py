"""The crossing stage: ratings of each language's words from ridge fitted in each other language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace import structure
from emospace.display import track
from emospace.norms import EMOTIONS
from emospace.prediction import FittedRatings, read_ratings
from emospace.records import INPUT, CrossLanguageRecord, PredictionRecord
from emospace.study.rated import RatedWords, rated_words
from emospace.study.stage import StageResult, stage

if TYPE_CHECKING:
    from emospace.norms import WordNorms
    from emospace.study.concepts import LanguageConcepts
    from emospace.study.encoding import WordStates

PEOPLE: Mapping[str, float] = {"valence": structure.PEOPLE, "arousal": 0.61}
"""r of people's ratings of the same 930 concepts in English (Warriner et al. 2013) and Chinese (Yi et al. 2025)."""
PEOPLE_NAME = "people's ratings of 930 concepts in English and Chinese"
N_PERMUTED = 199

WIDE = ("dense", "static")
"""Features that are states and no latents: the prediction stage has their r within a language."""


def comparable(norms: WordNorms) -> WordNorms | None:
    """Return the ratings that are compared between languages, of the words that have all of them; None without any."""
    targets = tuple(target for target in (*PEOPLE, *EMOTIONS) if target in norms.targets)
    return norms.only(targets).complete() if targets else None


def r_within(
    stages: Sequence[StageResult], norms: Mapping[str, WordNorms]
) -> dict[tuple[str, str, str], float | None]:
    """Return the r of wide features within each language that the prediction stages gave, as `cross_predict` takes it."""
    return {
        (row.language, row.features, row.target): row.r
        for result in stages
        for row in result.records.get("prediction", ())
        if isinstance(row, PredictionRecord)
        and row.excluded_concepts
        and row.features in WIDE
        and row.language in norms
        and row.norms == norms[row.language].name
        and row.static_source in (None, INPUT)
    }


@stage(version=2)
def cross_predict(
    *,
    model: str,
    layer: int,
    concepts: Mapping[str, LanguageConcepts],
    words: Mapping[str, WordStates],
    norms: Mapping[str, WordNorms],
    shared: np.ndarray | None,
    within: Mapping[tuple[str, str, str], float | None],
    folds: int,
    seed: int,
) -> StageResult:
    """Predict the ratings of each language with ridge fitted in each other one.

    Parameters
    ----------
    concepts, words, norms
        Of the languages that have norms, by language: `norms` as from `comparable`, `words` those the model has tokens
        for.
    shared
        The latents that enough languages share; None without an SAE.
    within
        (language, features, target) -> r inside the language, concept words left out, of dense and static features.
    """
    rated = {
        language: rated_words(given, concepts[language], words[language], folds=folds, seed=seed, unit=True)
        for language, given in norms.items()
    }
    computed: dict[tuple[str, str | bytes], dict[str, float]] = {}

    def same_language(
        test: str, train: str, features: str, latents: np.ndarray | None, values: np.ndarray
    ) -> Mapping[str, float | None]:
        """Return target -> cross-validated r of the same features within the language."""
        if features in WIDE:
            return {target: within.get((test, features, target)) for target in rated[test].targets}
        key = test, train if latents is None else latents.tobytes()
        if key not in computed:
            predicted = rated[test].predict(values, n_bootstrap=10)
            computed[key] = {each.target: each.without_concepts.r for each in predicted}
        return computed[key]

    records: list[CrossLanguageRecord] = []
    for train in track(list(rated), "Across languages", "languages"):
        for features, latents, tests in _feature_sets(rated, train, shared):
            common = {"model": model, "seed": seed, "train": train, "features": features, "layer": layer}
            fitted: Sequence[FittedRatings] = ()
            if latents is None or len(latents):
                values = _values(rated[train], rated[train], features, latents)
                fitted = rated[train].fit(values, N_PERMUTED)
            for test in tests:
                between = common | {
                    "test": test,
                    "norms_train": norms[train].name,
                    "norms_test": norms[test].name,
                }
                if not fitted:
                    nothing = {"n_features": 0, **dict.fromkeys(("r", "ci_low", "ci_high"))}
                    reason = f"there are no {features} features"
                    records += [
                        _record(rated[test], target, between, **nothing, reason=reason)
                        for target in norms[train].targets
                        if target in norms[test].targets
                    ]
                    continue
                values = _values(rated[test], rated[train], features, latents)
                same = same_language(test, train, features, latents, values)
                records += _records(rated[test], fitted, values, same, between)
    return StageResult({"cross_language": records})


def _feature_sets(
    rated: Mapping[str, RatedWords], train: str, shared: np.ndarray | None
) -> Iterator[tuple[str, np.ndarray | None, list[str]]]:
    """Yield each feature set of a training language, its latents if it has some, and the languages it is tested in."""
    tests = [language for language in rated if language != train]
    latents = rated[train].concepts.latents
    yield from ((features, None, tests) for features in WIDE)
    yield "space", latents, tests
    if latents is None or shared is None:
        return
    yield "universal", shared, tests
    for test in tests:
        other = rated[test].concepts.latents
        assert other is not None
        yield "shared", np.intersect1d(latents, other), [test]
        yield "specific", np.setdiff1d(latents, other), [test]


def _values(rated: RatedWords, train: RatedWords, features: str, latents: np.ndarray | None) -> np.ndarray:
    """Return the features of a language's rated words, `[n_words, d]` or `[n_words, n_layers, d]`."""
    words = rated.words
    if features in WIDE:
        return words.layers if features == "dense" else words.static
    if words.codes is None:
        return np.asarray(words.states @ train.concepts.directions().T)
    return np.asarray(words.codes[:, latents].log1p().toarray())


def _records(
    test: RatedWords,
    fitted: Sequence[FittedRatings],
    values: np.ndarray,
    same: Mapping[str, float | None],
    common: Mapping[str, Any],
) -> Iterator[CrossLanguageRecord]:
    """Yield a record for each fitted target that the test language's norms rate."""
    scored = test.scored
    for fit in fitted:
        if fit.target not in test.targets:
            continue
        ratings = test.ratings[scored, test.targets.index(fit.target)]
        # The states of all layers are too many to be copied for one.
        at = values[scored, fit.place] if values.ndim == 3 else values[scored]
        read = read_ratings(fit, at, ratings, test.groups[scored], seed=test.seed)
        layer = {"dense": fit.layer, "static": None}.get(common["features"], common["layer"])
        yield _record(
            test,
            fit.target,
            {**common, "layer": layer},
            n_features=values.shape[-1],
            r=read.score.r,
            ci_low=read.score.ci_low,
            ci_high=read.score.ci_high,
            p=read.p,
            permuted_low=read.permuted_low,
            permuted_high=read.permuted_high,
            same_language=same[fit.target],
        )


def _record(test: RatedWords, target: str, common: Mapping[str, Any], **figures: Any) -> CrossLanguageRecord:
    return CrossLanguageRecord(
        **common,
        **figures,
        n=int(test.scored.sum()),
        target=target,
        reference=PEOPLE.get(target),
        reference_name=PEOPLE_NAME if target in PEOPLE else None,
    )
