"""The crossing stage: ratings of each language's words from ridge fitted in each other language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace import structure
from emospace.display import track
from emospace.lexicon import same_family, word_groups
from emospace.prediction import FittedRatings, fit_ratings, predict_ratings, read_ratings
from emospace.records import CrossLanguageRecord
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


@dataclass(frozen=True, eq=False)
class Rated:
    """The rated words of a language.

    `ratings` `[n_words, n_targets]` lie on -1..1, and `scored` is False for concept words and their inflections.
    """

    concepts: LanguageConcepts
    words: WordStates
    norms: str
    targets: tuple[str, ...]
    ratings: np.ndarray
    groups: np.ndarray
    scored: np.ndarray


@dataclass
class Crossing:
    """All rated languages of a study, and what is computed once for several pairs of them.

    `within` holds the cross-validated r of (language, features, target) that the prediction stage gave.
    """

    model: str
    layer: int
    rated: Mapping[str, Rated]
    within: Mapping[tuple[str, str, str], float | None]
    folds: int
    seed: int
    _within: dict[tuple[Any, ...], tuple[float, ...]] = field(default_factory=dict)

    def features(self, language: str, features: str, train: str, latents: np.ndarray | None) -> np.ndarray:
        """Return the features of a language's rated words, `[n_words, d]` or `[n_words, n_layers, d]`."""
        words = self.rated[language].words
        if features == "dense":
            return words.layers
        if features == "static":
            return words.static
        if words.codes is None:
            return np.asarray(words.states @ self.rated[train].concepts.directions().T)
        return np.asarray(words.codes[:, latents].log1p().toarray())

    def same_language(
        self, language: str, features: str, train: str, latents: np.ndarray | None
    ) -> Mapping[str, float | None]:
        """Return target -> cross-validated r of the same features within the language."""
        rated = self.rated[language]
        if features in WIDE:
            return {target: self.within.get((language, features, target)) for target in rated.targets}
        key = (language, train if latents is None else latents.tobytes())
        if key not in self._within:
            found = predict_ratings(
                self.features(language, features, train, latents),
                rated.ratings,
                rated.groups,
                targets=rated.targets,
                scored=rated.scored,
                folds=self.folds,
                n_bootstrap=10,
                seed=self.seed,
            )
            self._within[key] = tuple(row.without_concepts.r for row in found)
        return dict(zip(rated.targets, self._within[key], strict=True))

    def fit(self, train: str, features: str, latents: np.ndarray | None) -> tuple[FittedRatings, ...]:
        """Fit ridge on all rated words of a language."""
        rated = self.rated[train]
        return fit_ratings(
            self.features(train, features, train, latents),
            rated.ratings,
            rated.groups,
            targets=rated.targets,
            folds=self.folds,
            n_permutations=N_PERMUTED,
            seed=self.seed,
        )


def comparable(norms: WordNorms) -> WordNorms:
    """Return the ratings that are compared between languages, of the words that have all of them."""
    return norms.only(tuple(target for target in PEOPLE if target in norms.targets)).complete()


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
    rated = {language: _rated(concepts[language], words[language], norms[language]) for language in norms}
    crossing = Crossing(model, layer, rated, within, folds, seed)
    records = [
        record
        for train in track(list(rated), "Across languages", "languages")
        for record in _from(crossing, train, shared)
    ]
    return StageResult({"cross_language": records})


def _rated(concepts: LanguageConcepts, words: WordStates, norms: WordNorms) -> Rated:
    listed, language = list(words.words), concepts.language
    return Rated(
        concepts,
        words,
        norms.name,
        norms.targets,
        np.stack([norms.unit(target).loc[listed].to_numpy(float) for target in norms.targets], axis=1),
        word_groups(listed, language),
        ~same_family(listed, concepts.concepts, language),
    )


def _from(crossing: Crossing, train: str, shared: np.ndarray | None) -> list[CrossLanguageRecord]:
    """Return the figures of one training language in every other one."""
    tests = [language for language in crossing.rated if language != train]
    own = crossing.rated[train].concepts.latents

    def across(features: str, latents: np.ndarray | None, tested: Sequence[str]) -> list[CrossLanguageRecord]:
        fitted = crossing.fit(train, features, latents) if latents is None or len(latents) else ()
        return [row for test in tested for row in _records(crossing, train, test, features, latents, fitted)]

    records = [row for features in WIDE for row in across(features, None, tests)]
    records += across("space", own, tests)
    if own is None or shared is None:
        return records
    records += across("universal", shared, tests)
    for test in tests:
        other = crossing.rated[test].concepts.latents
        assert other is not None
        records += across("shared", np.intersect1d(own, other), [test])
        records += across("specific", np.setdiff1d(own, other), [test])
    return records


def _records(
    crossing: Crossing,
    train: str,
    test: str,
    features: str,
    latents: np.ndarray | None,
    fitted: Sequence[FittedRatings],
) -> list[CrossLanguageRecord]:
    """Return one record for each target both languages' norms rate."""
    rated = crossing.rated[test]
    scored = rated.scored
    common: dict[str, Any] = {
        "model": crossing.model,
        "seed": crossing.seed,
        "n": int(scored.sum()),
        "train": train,
        "test": test,
        "features": features,
        "norms_train": crossing.rated[train].norms,
        "norms_test": rated.norms,
        "reference_name": PEOPLE_NAME,
    }
    targets = [target for target in crossing.rated[train].targets if target in rated.targets]
    if not fitted:
        nothing = {"r": None, "ci_low": None, "ci_high": None, "n_features": 0, "layer": crossing.layer}
        return [
            CrossLanguageRecord(
                **common,
                **nothing,
                target=target,
                reference=PEOPLE[target],
                reason=f"there are no {features} features",
            )
            for target in targets
        ]
    values = crossing.features(test, features, train, latents)
    same = crossing.same_language(test, features, train, latents)
    records = []
    for fit in fitted:
        if fit.target not in targets:
            continue
        ratings = rated.ratings[scored, rated.targets.index(fit.target)]
        # The states of all layers are too many to be copied for one.
        at = values[scored] if fit.place is None else values[scored, fit.place]
        found = read_ratings(fit.at_its_layer(), at, ratings, rated.groups[scored], seed=crossing.seed)
        layer = fit.layer if features == "dense" else None if features == "static" else crossing.layer
        records.append(
            CrossLanguageRecord(
                **common,
                layer=layer,
                target=fit.target,
                n_features=values.shape[-1],
                r=found.score.r,
                ci_low=found.score.ci_low,
                ci_high=found.score.ci_high,
                p=found.p,
                permuted_low=found.permuted_low,
                permuted_high=found.permuted_high,
                same_language=same[fit.target],
                reference=PEOPLE[fit.target],
            )
        )
    return records
