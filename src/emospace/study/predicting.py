"""The prediction stage: ratings of words from the space, its parts, and every baseline it has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.baselines import principal_components
from emospace.lexicon import same_family, word_groups
from emospace.prediction import Predicted, latent_profile, predict_beside, top_firing
from emospace.profiling import timed
from emospace.records import INPUT, NotComputed
from emospace.specs import Rule
from emospace.study.draws import draws_of_latents, shuffled_directions
from emospace.study.predicted import (
    comparison_records,
    draw_records,
    draw_table,
    layer_curve,
    prediction_records,
    prediction_table,
)
from emospace.study.stage import StageResult, stage
from emospace.study.task import RatingTask

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from emospace.norms import WordNorms
    from emospace.study.concepts import LanguageConcepts
    from emospace.study.encoding import WordStates


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


@stage(version=3)
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
    rated = list(words.words)
    ratings = np.stack(
        [norms.ratings(target).loc[rated].to_numpy(dtype=np.float64) for target in norms.targets], 1
    )
    language = concepts.language
    task = RatingTask(
        model,
        layer,
        concepts,
        norms,
        ratings,
        word_groups(rated, language),
        ~same_family(rated, concepts.concepts, language),
        folds,
        seed,
    )
    missing: list[NotComputed] = []
    n_complete = len(norms.complete())
    if n_complete < len(norms):
        why = f"{len(norms) - n_complete} words are not rated on all of {', '.join(norms.targets)}"
        missing.append(task.missing(f"some words of {norms.name}", why))
    if len(rated) < n_complete:
        why = f"{n_complete - len(rated)} words have no tokens in the model's vocabulary"
        missing.append(task.missing(f"some words of {norms.name}", why))

    def predicted_from(name: str, values: Any) -> tuple[Predicted, ...]:
        with timed(f"from {name}"):
            return task.predict(values)

    sets: dict[tuple[str, str | None], tuple[Predicted, ...]] = {}
    if latents is None:
        space = words.states @ concepts.directions().T
        sets["space", None] = predicted_from("space", space)
        draws = shuffled_directions(task, words.states, n_shuffled)
        why = "they are draws of SAE latents, and this study has no SAE"
        missing.append(task.missing("outside and top-firing controls", why))
    else:
        assert words.codes is not None
        values = words.codes.log1p().tocsr()
        space = values[:, task.latents].toarray()
        for name, chosen in _latent_sets(task, latents, values).items():
            if len(chosen):
                sets[name, None] = predicted_from(name, values[:, chosen])
            else:
                missing.append(task.missing(f"prediction from {name} features", "there are none"))
        draws = draws_of_latents(task, latents, values, n_shuffled, missing)
    sets["dense", None] = predicted_from("dense", words.layers)
    sets["static", INPUT] = predicted_from("static", words.static)
    static_sets = {
        "static_concepts": words.static @ concepts.directions("static").T,
        "static_pcs": principal_components(words.static, space.shape[1]),
    }
    for name, features in static_sets.items():
        sets[name, None] = predicted_from(name, features)
    for name, features in (("dense", words.layers), ("space", space)):
        with timed(f"from {name}_static"):
            joined = predict_beside(features, words.static, sets[name, None], seed=seed)
        sets[f"{name}_static", None] = joined
    if corpus is None:
        missing.append(task.missing("PPMI-SVD baseline", "no corpus of this language is bundled"))
    else:
        sets["static", "PPMI-SVD of the corpora"] = predicted_from("static", corpus)
    sets["surface", None] = predicted_from("surface", surface)

    records = [
        record
        for (name, source), predictions in sets.items()
        for index, predicted in enumerate(predictions)
        for record in prediction_records(task, name, source, predicted, index, draws)
    ]
    sizes = {name: predictions[0].n_features for (name, _), predictions in sets.items()}
    tables = {
        "predictions": prediction_table(language, norms, rated, sets),
        "layer_curve": layer_curve(language, norms, sets["dense", None]),
    }
    if draws:
        tables["draws"] = draw_table(language, norms, draws)
    return StageResult(
        {
            "prediction": [*records, *draw_records(task, draws, sizes)],
            "comparison": comparison_records(task, sets),
        },
        tables,
        missing,
    )


def _latent_sets(task: RatingTask, latents: Latents, values: csr_matrix) -> dict[str, np.ndarray]:
    """Return the latents of each feature set that is one set and no draw."""
    sets = {"space": task.latents}
    if latents.shared is not None and latents.specific is not None:
        sets |= {"shared": latents.shared, "specific": latents.specific}
    fires = np.asarray((values > 0).sum(0)).ravel()
    # A latent that fires on hardly any word cannot be standardised in every fold.
    return sets | {
        "top_firing": top_firing(latent_profile(values), len(task.latents)),
        "all": np.flatnonzero(fires >= 2 * task.folds),
    }
