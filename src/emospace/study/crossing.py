"""The crossing stage: ratings of each language's words from ridge fitted in each other language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace import structure
from emospace.baselines import input_embeddings
from emospace.display import track
from emospace.features import dense_directions
from emospace.lexicon import same_family, word_groups
from emospace.prediction import FittedRatings, fit_ratings, predict_ratings, read_ratings
from emospace.records import CrossLanguageRecord, NotComputed, PredictionRecord
from emospace.study.cache import StageResult

if TYPE_CHECKING:
    from emospace.norms import WordNorms
    from emospace.study.material import Study

PEOPLE: Mapping[str, float] = {"valence": structure.PEOPLE, "arousal": 0.61}
"""r of people's ratings of the same 930 concepts in English (Warriner et al. 2013) and Chinese (Yi et al. 2025)."""
PEOPLE_NAME = "people's ratings of 930 concepts in English and Chinese"
N_PERMUTED = 199

WIDE = ("dense", "static")
"""Features that are states and no latents: the prediction stage has their r within a language."""


@dataclass(frozen=True, eq=False)
class Rated:
    """The rated words of a language.

    `rows` are their places among the encoded words, `ratings` `[n_words, n_targets]` lie on -1..1, and `scored` is
    False for concept words and their inflections.
    """

    language: str
    norms: WordNorms
    targets: tuple[str, ...]
    words: tuple[str, ...]
    rows: np.ndarray
    ratings: np.ndarray
    groups: np.ndarray
    scored: np.ndarray


@dataclass
class Crossing:
    """All rated languages of a study, and what is computed once for several pairs of them."""

    study: Study
    rated: Mapping[str, Rated]
    within: Mapping[tuple[str, str, str], float | None]
    _within: dict[tuple[Any, ...], tuple[float, ...]] = field(default_factory=dict)

    def features(self, language: str, features: str, train: str, latents: np.ndarray | None) -> np.ndarray:
        """Return the features of a language's rated words, `[n_words, d]` or `[n_words, n_layers, d]`."""
        rows, encoded = self.rated[language].rows, self.study.encoded(language)
        if features == "dense":
            return encoded.all_layers(rows)
        if features == "static":
            return np.asarray(input_embeddings(self.study.model, self.rated[language].words))
        if encoded.codes is None:
            return np.asarray(encoded.states[rows] @ self._directions(train).T)
        return np.asarray(encoded.codes[rows][:, latents].log1p().toarray())

    def same_language(
        self, language: str, features: str, train: str, latents: np.ndarray | None
    ) -> Mapping[str, float | None]:
        """Return target -> cross-validated r of the same features within the language."""
        one = self.rated[language]
        if features in WIDE:
            return {target: self.within.get((language, features, target)) for target in one.targets}
        key = (language, train if latents is None else latents.tobytes())
        if key not in self._within:
            found = predict_ratings(
                self.features(language, features, train, latents),
                one.ratings,
                one.groups,
                targets=one.targets,
                scored=one.scored,
                folds=self.study.spec.folds,
                n_bootstrap=10,
                seed=self.study.spec.seed,
            )
            self._within[key] = tuple(row.without_concepts.r for row in found)
        return dict(zip(one.targets, self._within[key], strict=True))

    def fit(self, train: str, features: str, latents: np.ndarray | None) -> tuple[FittedRatings, ...]:
        """Fit ridge on all rated words of a language."""
        one = self.rated[train]
        return fit_ratings(
            self.features(train, features, train, latents),
            one.ratings,
            one.groups,
            targets=one.targets,
            folds=self.study.spec.folds,
            n_permutations=N_PERMUTED,
            seed=self.study.spec.seed,
        )

    def _directions(self, language: str) -> np.ndarray:
        encoded = self.study.encoded(language)
        pool = self.study.pool(language)
        return dense_directions(encoded.states, encoded.words, self.study.sets, language, pool)


def cross_predict(study: Study, within: Sequence[PredictionRecord]) -> StageResult:
    """Predict the ratings of each language with ridge fitted in each other one.

    Parameters
    ----------
    within
        Predictions inside each language, from which r of dense and static features is taken.
    """
    rated = {language: _rated(study, language) for language in study.languages if study.norms[language]}
    missing = [
        NotComputed(
            what="prediction of ratings, within and across languages",
            why="no norms of this language are bundled or given (--norms FILE)",
            language=language,
        )
        for language in study.languages
        if language not in rated
    ]
    if len(rated) < 2:
        return StageResult(not_computed=missing)
    r_within: dict[tuple[str, str, str], float | None] = {
        (row.language, row.features, row.target): row.r
        for row in within
        if row.excluded_concepts
        and row.norms == rated[row.language].norms.name
        and row.static_source in (None, "input embeddings")
    }
    crossing = Crossing(study, rated, r_within)
    records = [
        record
        for train in track(list(rated), "Across languages", "languages")
        for record in _from(crossing, train)
    ]
    return StageResult({"cross_language": records}, {}, missing)


def _rated(study: Study, language: str) -> Rated:
    norms = study.norms[language][0]
    encoded = study.encoded(language)
    known = set(encoded.words)
    targets = tuple(target for target in PEOPLE if target in norms.targets)
    complete = norms.only(targets).complete()
    words = tuple(word for word in complete.words if word in known)
    return Rated(
        language,
        norms,
        targets,
        words,
        encoded.rows(words),
        np.stack([complete.unit(target).loc[list(words)].to_numpy(float) for target in targets], axis=1),
        word_groups(words, language),
        ~same_family(words, study.sets.words(language), language),
    )


def _from(crossing: Crossing, train: str) -> list[CrossLanguageRecord]:
    """Return the figures of one training language in every other one."""
    study = crossing.study
    tests = [language for language in crossing.rated if language != train]
    records = []
    for features in WIDE:
        fitted = crossing.fit(train, features, None)
        records += [row for test in tests for row in _records(crossing, train, test, features, None, fitted)]
    if study.sae is None:
        fitted = crossing.fit(train, "space", None)
        return records + [
            row for test in tests for row in _records(crossing, train, test, "space", None, fitted)
        ]
    own = study.dictionary(train).latents
    for features, latents in (("space", own), ("universal", study.universal)):
        fitted = crossing.fit(train, features, latents) if len(latents) else ()
        records += [
            row for test in tests for row in _records(crossing, train, test, features, latents, fitted)
        ]
    for test in tests:
        other = study.dictionary(test).latents
        pair = {"shared": np.intersect1d(own, other), "specific": np.setdiff1d(own, other)}
        for features, latents in pair.items():
            fitted = crossing.fit(train, features, latents) if len(latents) else ()
            records += _records(crossing, train, test, features, latents, fitted)
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
    study, one = crossing.study, crossing.rated[test]
    scored = one.scored
    common: dict[str, Any] = {
        "model": study.name,
        "seed": study.spec.seed,
        "n": int(scored.sum()),
        "train": train,
        "test": test,
        "features": features,
        "norms_train": crossing.rated[train].norms.name,
        "norms_test": one.norms.name,
        "reference_name": PEOPLE_NAME,
    }
    targets = [target for target in crossing.rated[train].targets if target in one.targets]
    if not fitted:
        nothing = {"r": None, "ci_low": None, "ci_high": None, "n_features": 0, "layer": study.layer}
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
        ratings = one.ratings[scored, one.targets.index(fit.target)]
        # The states of all layers are too many to be copied for one.
        at = values[scored] if fit.place is None else values[scored, fit.place]
        found = read_ratings(fit.at_its_layer(), at, ratings, one.groups[scored], seed=study.spec.seed)
        layer = fit.layer if features == "dense" else None if features == "static" else study.layer
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
