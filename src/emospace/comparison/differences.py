"""Which run predicts ratings better: a paired bootstrap of the difference in r on the words both predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emospace import stats
from emospace.comparison.records import DifferenceRecord
from emospace.comparison.runs import NamedRun
from emospace.prediction import correlation
from emospace.prediction.scores import centred
from emospace.report.run import Absent

Floats = NDArray[np.float64]
Features = Literal["space", "dense"]
COLUMNS: Mapping[Features, str] = {"space": "predicted", "dense": "predicted_dense"}
FEWEST_GROUPS = 10


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one run predicted of one rating: ratings, predictions, folds and which words are no concept words.

    Attributes
    ----------
    observed
        [n_words], on the norms' own scale.
    predicted
        Feature set -> [n_words], out of fold.
    folds, groups
        [n_words] fold of each word, and the group of words (inflections) it belongs to.
    scored
        [n_words] of bool.
    """

    words: tuple[str, ...]
    observed: Floats
    predicted: Mapping[Features, Floats]
    folds: NDArray[np.int64]
    groups: NDArray[np.int64]
    scored: NDArray[np.bool_]


def read_predictions(item: NamedRun, language: str, norms: str, target: str) -> Predictions:
    """Read a run's predictions of one rating, with the folds they were made in.

    Raises
    ------
    Absent
        If the run holds no such predictions, or was made before its table held folds and groups.
    """
    columns = ("language", "norms", "word", "target", "observed", "concept_word", *COLUMNS.values())
    table = item.run.table("predictions", columns)
    if not {"fold", "group"} <= set(table.columns):
        raise Absent(
            f"{item.name} was made by an earlier version, which did not keep folds; run the study again"
        )
    rows = (table["language"] == language) & (table["norms"] == norms) & (table["target"] == target)
    table = table[rows]
    if table.empty:
        raise Absent(f"the run has no predictions of {target} ({norms})")
    words = tuple(table["word"].astype(str))
    if len(set(words)) < len(words):
        raise Absent(f"tables/predictions.parquet names a word of {norms} twice")
    return Predictions(
        words,
        table["observed"].to_numpy(dtype=np.float64),
        {name: table[column].to_numpy(dtype=np.float64) for name, column in COLUMNS.items()},
        table["fold"].to_numpy(dtype=np.int64),
        table["group"].to_numpy(dtype=np.int64),
        ~table["concept_word"].to_numpy(dtype=bool),
    )


def compare_predictions(
    item: NamedRun,
    baseline: NamedRun,
    language: str,
    norms: str,
    target: str,
    *,
    seed: int,
    n_bootstrap: int = 2000,
) -> tuple[DifferenceRecord, ...]:
    """Return r of a run less r of the baseline for the emotion space and for dense states, on their common words.

    Words that are concept words of either run are left out. Both are scored within their own folds, and word groups
    are resampled for both alike.
    """
    common: dict[str, Any] = {
        "run": item.name,
        "against": baseline.name,
        "language": language,
        "norms": norms,
        "target": target,
        "seed": seed,
    }

    def nothing(why: str, n: int = 0) -> tuple[DifferenceRecord, ...]:
        return tuple(DifferenceRecord(**common, features=name, n=n, reason=why) for name in COLUMNS)

    try:
        sides = [read_predictions(run, language, norms, target) for run in (item, baseline)]
    except Absent as reason:
        return nothing(str(reason))
    places = [{word: place for place, word in enumerate(side.words) if side.scored[place]} for side in sides]
    words = [word for word in places[0] if word in places[1]]
    rows = [np.array([place[word] for word in words], dtype=np.int64) for place in places]
    observed = [side.observed[row] for side, row in zip(sides, rows, strict=True)]
    if not np.allclose(observed[0], observed[1], atol=1e-6):
        return nothing(f"the two runs have different ratings of the name {norms}", len(words))
    groups = sides[0].groups[rows[0]]
    n_groups = len(np.unique(groups))
    if n_groups < FEWEST_GROUPS:
        return nothing(
            f"they share {n_groups} groups of words; at least {FEWEST_GROUPS} are needed", len(words)
        )
    r, draws = [], []
    for side, row in zip(sides, rows, strict=True):
        pair = np.stack([side.predicted[name][row] for name in COLUMNS], axis=1)
        y, folds = side.observed[row], side.folds[row]
        r.append(correlation(pair, y[:, None], folds))
        within = centred(np.column_stack([pair, y]), folds)
        # The same seed draws the same groups for both.
        drawn = stats.bootstrap_correlations(
            within[:, :-1].T, within[:, -1], groups, seed=seed, n=n_bootstrap
        )
        draws.append(np.nan_to_num(drawn))
    records = []
    for place, name in enumerate(COLUMNS):
        value = float(r[0][place] - r[1][place])
        tested = stats.difference_of(value, draws[0][:, place] - draws[1][:, place])
        records.append(
            DifferenceRecord(
                **common,
                features=name,
                n=len(words),
                n_groups=n_groups,
                r=r[0][place],
                r_against=r[1][place],
                difference=value,
                ci_low=tested.low,
                ci_high=tested.high,
                p=tested.p,
            )
        )
    return tuple(records)
