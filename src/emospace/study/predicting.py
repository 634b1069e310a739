"""The prediction stage: ratings of words from the space, its parts, and every baseline it has to beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from emospace.baselines import principal_components
from emospace.display import track
from emospace.errors import EmospaceError
from emospace.features import MatchedPool, dense_directions, select_features, shuffled_sets
from emospace.prediction import (
    Predicted,
    above_draws,
    compare_predictions,
    latent_profile,
    matched_draws,
    predict_beside,
    random_draws,
    top_firing,
)
from emospace.profiling import timed
from emospace.records import INPUT, ComparisonRecord, NotComputed, PredictionRecord
from emospace.specs import Rule
from emospace.study.rated import RatedWords, rated_words
from emospace.study.stage import StageResult, stage

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix

    from emospace.concepts import ConceptSets
    from emospace.norms import WordNorms
    from emospace.study.concepts import LanguageConcepts
    from emospace.study.encoding import WordStates

FeatureSets: TypeAlias = dict[tuple[str, str | None], tuple[Predicted, ...]]
"""Predictions of every target by feature set and, of static vectors, their source."""

WITHOUT_DEPTH = ("static", "static_concepts", "static_pcs", "surface")
COMPARED = (
    ("space", "shared"),
    ("space", "static"),
    ("space", "top_firing"),
    ("space", "static_concepts"),
    ("space", "static_pcs"),
    ("dense", "space"),
    ("dense_static", "static"),
    ("space_static", "static"),
)
"""Pairs of feature sets whose difference in r is given."""


_TOGETHER = 20
"""Shuffled spaces whose features are in memory at once."""


@dataclass(frozen=True)
class Latents:
    """The latents of a study's languages and the controls drawn beside them.

    Attributes
    ----------
    shared
        Those that enough languages share; None in a study of one language.
    specific
        Those that are features in this language alone; None in a study of one language.
    everywhere
        Those that are features in any language, which no draw may hold.
    rule
        By which shuffled concept-sets are selected for.
    """

    shared: np.ndarray | None
    specific: np.ndarray | None
    everywhere: np.ndarray
    rule: Rule
    n_draws: int


@stage(version=4)
def predict(
    *,
    model: str,
    layer: int,
    norms: WordNorms,
    concepts: LanguageConcepts,
    words: WordStates,
    surface: np.ndarray,
    corpus: np.ndarray | None,
    latents: Latents | None,
    n_shuffled: int,
    folds: int,
    seed: int,
) -> StageResult:
    """Predict the ratings of one norms set from every feature set.

    Parameters
    ----------
    words
        The words rated on all targets that the model has tokens for, in the order of the norms.
    surface, corpus
        ``[n_words, k]`` what a word shows from outside, and its vectors from text (None where none are bundled).
    latents
        None without an SAE.
    n_shuffled
        Shuffled concept-sets.
    """
    rated = rated_words(norms, concepts, words, folds=folds, seed=seed)
    missing = list(_left_out(rated))
    sets: FeatureSets = {}

    def predict_from(name: str, values: Any, source: str | None = None) -> None:
        with timed(f"from {name}"):
            sets[name, source] = rated.predict(values)

    if latents is None:
        space = words.states @ concepts.directions().T
        predict_from("space", space)
        draws = _shuffled_directions(rated, n_shuffled)
        why = "they are draws of SAE latents, and this study has no SAE"
        missing.append(rated.missing("outside and top-firing controls", why))
    else:
        assert words.codes is not None and concepts.latents is not None
        values = words.codes.log1p().tocsr()
        space = values[:, concepts.latents].toarray()
        for name, chosen in _latent_sets(concepts.latents, latents, values, folds).items():
            if len(chosen):
                predict_from(name, values[:, chosen])
            else:
                missing.append(rated.missing(f"prediction from {name} features", "there are none"))
        draws = _draws_of_latents(rated, latents, values, n_shuffled, missing)
    predict_from("dense", words.layers)
    predict_from("static", words.static, INPUT)
    predict_from("static_concepts", words.static @ concepts.directions("static").T)
    predict_from("static_pcs", principal_components(words.static, space.shape[1]))
    for name, features in (("dense", words.layers), ("space", space)):
        with timed(f"from {name}_static"):
            joined = predict_beside(features, words.static, sets[name, None], seed=seed)
        sets[f"{name}_static", None] = joined
    if corpus is None:
        missing.append(rated.missing("PPMI-SVD baseline", "no corpus of this language is bundled"))
    else:
        predict_from("static", corpus, "PPMI-SVD of the corpora")
    predict_from("surface", surface)

    common = {**rated.named, "model": model, "layer": layer, "seed": seed}
    tables = {
        "predictions": _prediction_table(rated, sets),
        "layer_curve": _layer_curve(rated, sets["dense", None]),
    }
    if draws:
        tables["draws"] = _draw_table(rated, draws)
    return StageResult(
        {
            "prediction": [
                *_prediction_records(rated, sets, draws, common),
                *_draw_records(rated, sets, draws, common),
            ],
            "comparison": list(_comparison_records(sets, common)),
        },
        tables,
        missing,
    )


def _left_out(rated: RatedWords) -> Iterator[NotComputed]:
    """Yield the numbers of words that are not rated on all targets, and that the model has no tokens for."""
    norms, n_complete, n = rated.norms, len(rated.norms.complete()), len(rated.words.words)
    if n_complete < len(norms):
        why = f"{len(norms) - n_complete} words are not rated on all of {', '.join(norms.targets)}"
        yield rated.missing(f"some words of {norms.name}", why)
    if n < n_complete:
        why = f"{n_complete - n} words have no tokens in the model's vocabulary"
        yield rated.missing(f"some words of {norms.name}", why)


def _latent_sets(
    space: np.ndarray, latents: Latents, values: csr_matrix, folds: int
) -> dict[str, np.ndarray]:
    """Return the latents of each feature set that is one set and no draw."""
    sets = {"space": space}
    if latents.shared is not None and latents.specific is not None:
        sets |= {"shared": latents.shared, "specific": latents.specific}
    fires = np.asarray((values > 0).sum(0)).ravel()
    # A latent that fires on hardly any word cannot be standardised in every fold.
    return sets | {
        "top_firing": top_firing(latent_profile(values), len(space)),
        "all": np.flatnonzero(fires >= 2 * folds),
    }


def _prediction_records(
    rated: RatedWords, sets: FeatureSets, draws: Mapping[str, np.ndarray], common: Mapping[str, Any]
) -> Iterator[PredictionRecord]:
    """Yield the record of each feature set and target over all words, and with concept words out of the test folds."""
    for (name, source), predictions in sets.items():
        drawn = draws.get("outside_shared" if name == "shared" else "outside")
        for index, predicted in enumerate(predictions):
            reliability = rated.norms.reliability(predicted.target)
            layers = predicted.layer if name in ("dense", "dense_static") else ()
            layer = Counter(layers).most_common(1)[0][0] if layers else common["layer"]
            for excluded, score in enumerate((predicted.all_words, predicted.without_concepts)):
                beaten = None
                if drawn is not None and name in {"space", "shared", "specific"}:
                    beaten = above_draws(score.r, drawn[:, index, excluded]).fraction
                yield PredictionRecord(
                    **{**common, "layer": None if name in WITHOUT_DEPTH else layer},
                    n=score.n,
                    target=predicted.target,
                    features=name,
                    static_source=source,
                    excluded_concepts=bool(excluded),
                    n_features=predicted.n_features,
                    r=score.r,
                    ci_low=score.ci_low,
                    ci_high=score.ci_high,
                    p=score.p,
                    r2=score.r2,
                    draws_beaten=beaten,
                    ceiling=rated.norms.ceiling(predicted.target),
                    reliability=reliability,
                    disattenuated_r=score.disattenuated(reliability),
                    layers_chosen=",".join(map(str, layers)) or None,
                )


def _each_draw(
    rated: RatedWords, draws: Mapping[str, np.ndarray]
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Yield target and words, with r ``[n_draws]`` of each kind of draw."""
    for kind, values in draws.items():
        for index, target in enumerate(rated.targets):
            for excluded in (False, True):
                fields = {"target": target, "excluded_concepts": excluded, "kind": kind}
                yield fields, values[:, index, int(excluded)]


def _draw_records(
    rated: RatedWords, sets: FeatureSets, draws: Mapping[str, np.ndarray], common: Mapping[str, Any]
) -> Iterator[PredictionRecord]:
    """Yield the mean and central 95% of each kind of draw."""
    for fields, r in _each_draw(rated, draws):
        kind, (low, high) = fields.pop("kind"), np.quantile(r, [0.025, 0.975])
        yield PredictionRecord(
            **common,
            **fields,
            n=int(rated.scored.sum()) if fields["excluded_concepts"] else len(rated.scored),
            features=kind,
            n_features=sets["shared" if kind == "outside_shared" else "space", None][0].n_features,
            r=float(r.mean()),
            ci_low=float(low),
            ci_high=float(high),
            n_draws=len(r),
            draws_low=float(low),
            draws_high=float(high),
        )


@timed("comparisons")
def _comparison_records(sets: FeatureSets, common: Mapping[str, Any]) -> list[ComparisonRecord]:
    """Return the differences of `COMPARED`, over all words and with concept words left out."""
    # Sets joined with the input embeddings are compared with these embeddings alone.
    pairs = [
        (features, key)
        for features, against in COMPARED
        for key in sets
        if (features, None) in sets and key[0] == against
        if not features.endswith("_static") or key[1] == INPUT
    ]
    return [
        ComparisonRecord(
            **common,
            target=predicted.target,
            features=features,
            against=against,
            static_source=source,
            excluded_concepts=excluded,
            **compare_predictions(predicted, other, without_concepts=excluded, seed=common["seed"])._asdict(),
        )
        for features, (against, source) in pairs
        for predicted, other in zip(sets[features, None], sets[against, source], strict=True)
        for excluded in (False, True)
    ]


def _prediction_table(rated: RatedWords, sets: FeatureSets) -> pd.DataFrame:
    """Return the rating of each word beside those predicted from the space and from dense states."""
    import pandas as pd

    return pd.concat(
        [
            pd.DataFrame(
                {
                    **rated.named,
                    "word": list(rated.words.words),
                    "target": space.target,
                    "observed": space.observed,
                    "predicted": space.out_of_fold,
                    "predicted_dense": dense.out_of_fold,
                    "concept_word": ~space.scored,
                    "fold": space.folds,
                    "group": space.groups,
                }
            )
            for space, dense in zip(sets["space", None], sets["dense", None], strict=True)
        ],
        ignore_index=True,
    )


def _layer_curve(rated: RatedWords, dense: Sequence[Predicted]) -> pd.DataFrame:
    """Return r of each layer of dense states taken alone."""
    import pandas as pd

    return pd.concat(
        [
            pd.DataFrame(
                {**rated.named, "target": each.target, "layer": each.layers, "r": each.layer_r[:, 0]}
            )
            for each in dense
        ],
        ignore_index=True,
    )


def _draw_table(rated: RatedWords, draws: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Return r of each draw."""
    import pandas as pd

    return pd.concat(
        [pd.DataFrame({**rated.named, **fields, "r": r}) for fields, r in _each_draw(rated, draws)],
        ignore_index=True,
    )


@timed("draws and shuffled sets")
def _draws_of_latents(
    rated: RatedWords, latents: Latents, values: csr_matrix, n_shuffled: int, missing: list[NotComputed]
) -> dict[str, np.ndarray]:
    """Return r of each kind of draw, ``[n_draws, n_targets, 2]`` (all words, concept words left out).

    Parameters
    ----------
    values
        ``[n_words, n_latents]`` log activations of the rated words.
    missing
        Gains what could not be drawn, and why.
    """
    space, seed = rated.concepts.latents, rated.seed
    assert space is not None
    sizes = latent_profile(values)
    r: dict[str, np.ndarray] = {}

    def drawn(name: str, draws: np.ndarray) -> None:
        with timed(f"from {name}"):
            r[name] = rated.predict_draws(values, draws)

    if n_draws := latents.n_draws:
        outside: dict[str, Any] = {"seed": seed, "exclude": latents.everywhere}
        try:
            matched = matched_draws(space, sizes, n_draws, **outside)
            random = random_draws(len(sizes), len(space), min(200, n_draws), **outside)
        except EmospaceError as error:
            missing.append(rated.missing("outside controls", str(error)))
        else:
            if matched.scarce:
                why = f"only {matched.n_active} latents outside fire on these words; beating such draws shows little"
                missing.append(rated.missing("a matched control of full strength", why))
            drawn("outside", matched.draws)
            drawn("outside_random", random)
            if latents.shared is not None and len(latents.shared):
                drawn("outside_shared", matched_draws(latents.shared, sizes, n_draws, **outside).draws)
    shuffled = [
        rated.predict(values[:, chosen], n_bootstrap=10)
        for chosen in _shuffled_latents(rated, latents, n_shuffled)
    ]
    if shuffled:
        r["shuffled"] = np.array(
            [[(each.all_words.r, each.without_concepts.r) for each in targets] for targets in shuffled]
        )
    elif n_shuffled:
        why = "selection finds no latent at all for random neutral words"
        missing.append(rated.missing("shuffled control", why))
    return r


@timed("shuffled sets")
def _shuffled_directions(rated: RatedWords, n_shuffled: int) -> dict[str, np.ndarray]:
    """Return r of the dense directions that concept-sets of random neutral words have, as `_draws_of_latents` does."""
    words = rated.concepts.words
    by_size: dict[int, list[np.ndarray]] = {}
    for sets, pool in _shuffled(rated, n_shuffled):
        directions = dense_directions(words.states, words.words, sets, rated.language, pool)
        # A category whose words are all left out of a smaller set has no direction.
        by_size.setdefault(len(directions), []).append(directions)
    r = []
    for size, spaces in by_size.items():
        for start in range(0, len(spaces), _TOGETHER):
            part = np.concatenate(spaces[start : start + _TOGETHER])
            draws = np.arange(len(part)).reshape(-1, size)
            r.append(rated.predict_draws(rated.words.states @ part.T, draws))
    return {"shuffled": np.concatenate(r)} if r else {}


def _shuffled(rated: RatedWords, n: int) -> Iterator[tuple[ConceptSets, MatchedPool]]:
    """Yield concept-sets of random neutral words, each with the pool that is left beside it."""
    for draw in track(range(n), f"Shuffled sets, {rated.language}", "draws"):
        yield shuffled_sets(rated.concepts.sets, rated.language, rated.concepts.pool, seed=rated.seed + draw)


@timed("shuffled selection")
def _shuffled_latents(rated: RatedWords, latents: Latents, n: int) -> list[np.ndarray]:
    """Return the latents that the same selection finds for concept-sets of random neutral words."""
    words, space = rated.concepts.words, rated.concepts.latents
    assert words.codes is not None and space is not None
    selected = []
    for sets, pool in _shuffled(rated, n):
        try:
            chosen = select_features(
                words.codes,
                words.words,
                sets,
                rated.language,
                pool,
                rule=latents.rule,
                q=1.0,
                max_features=len(space),
                n_permutations=0,
            )
        except EmospaceError:
            continue
        selected.append(chosen.latents)
    return selected
