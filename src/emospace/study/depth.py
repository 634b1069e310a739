"""How early the arrangement of categories is people's: RSA of dense states at each layer with people's distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from emospace.errors import EmospaceError
from emospace.records import NotComputed
from emospace.stats import rdm_correlation
from emospace.study.stage import StageResult

if TYPE_CHECKING:
    import pandas as pd


def follow_depth(stages: Sequence[StageResult], languages: Sequence[str], n_blocks: int) -> StageResult:
    """Return how like people's distances the states of each language are at each layer, from its alignment."""
    tables = [table for result in stages for table in result.tables.items()]
    of_people = {f"rdm_human_{language}_valence_arousal": language for language in languages}
    people = {of_people[name]: table for name, table in tables if name in of_people}
    if not people:
        why = "no language of the study has people's valence and arousal of enough categories"
        return StageResult(not_computed=[NotComputed(what="RSA with people through the depth", why=why)])
    layers = [table for name, table in tables if name == "rdm_layers"]
    return StageResult(
        {}, {"rdm_depth": depth_table(dict(zip(languages, layers, strict=True)), people, n_blocks)}
    )


def depth_table(
    layers: Mapping[str, pd.DataFrame], people: Mapping[str, pd.DataFrame], n_blocks: int
) -> pd.DataFrame:
    """Return the RSA of each layer's RDM with people's valence-arousal distances, a row a language and layer.

    Parameters
    ----------
    layers
        language -> a row a layer and pair of categories (columns layer, a, b, dissimilarity).
    people
        language -> square table with a column ``category``. A language without one is compared with the first.

    Returns
    -------
    Columns language, ratings (whose they are), layer, depth (layer / `n_blocks`), rsa (Spearman; NaN where an RDM
    does not vary or too few pairs are shared) and n (categories).
    """
    import pandas as pd

    squares = {language: table.set_index("category") for language, table in people.items()}
    rows = []
    for language, pairs in layers.items():
        if not squares:
            break
        source = language if language in squares else next(iter(squares))
        human = squares[source]
        for layer, part in pairs.groupby("layer"):
            shared = part[part["a"].isin(human.index) & part["b"].isin(human.index)]
            paired = {*shared["a"], *shared["b"]}
            names = [name for name in human.index if name in paired]
            model = np.full((len(names), len(names)), np.nan)
            i, j = (pd.Index(names).get_indexer(shared[side]) for side in "ab")
            model[i, j] = model[j, i] = shared["dissimilarity"]
            try:
                rsa = rdm_correlation(model, human.loc[names, names].to_numpy(dtype=np.float64))
            except EmospaceError:
                rsa = float("nan")
            rows.append(
                {
                    "language": language,
                    "ratings": source,
                    "layer": layer,
                    "depth": float(str(layer)) / max(n_blocks, 1),
                    "rsa": rsa,
                    "n": len(names),
                }
            )
    return pd.DataFrame(rows, columns=["language", "ratings", "layer", "depth", "rsa", "n"])
