"""The alignment stages: the model's categories in three kinds of space against people's, and decoded by CEBRA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.alignment import Alignment, axes, cebra_alignment, procrustes, rsa_affect, rsa_structure
from emospace.errors import EmospaceError
from emospace.profiling import timed
from emospace.records import AlignmentRecord, NotComputed
from emospace.space import build_space, disjoint_rdm, kind_features, overlap_rdm
from emospace.structure import FEWEST_RATED
from emospace.study.stage import StageResult, stage

if TYPE_CHECKING:
    import pandas as pd

    from emospace.concepts import Provenance
    from emospace.space import EmotionSpace
    from emospace.structure import CategoryRatings, CategoryStructure
    from emospace.study.concepts import LanguageConcepts

DECODING = "CEBRA"


@stage(version=4)
def align(
    *,
    model: str,
    layer: int,
    concepts: LanguageConcepts,
    ratings: Sequence[CategoryRatings],
    structures: Sequence[CategoryStructure],
    n_permutations: int,
    seed: int,
) -> StageResult:
    """Compare a language's emotion space with people's valence, arousal and category structure.

    The space of static input embeddings is the baseline beside every figure; RSA is given of both joined, too.

    Parameters
    ----------
    ratings
        Of the categories, one for each set of norms.
    structures
        All that the language's categories are compared with.
    """
    import pandas as pd

    sets, language, kind = concepts.sets, concepts.language, concepts.kind
    with timed("spaces"):
        spaces = {name: concepts.space(name) for name in concepts.kinds}
        features = {name: concepts.features(name) for name in concepts.kinds}
    main = spaces[kind]
    with timed("RDMs"):
        rdms = {
            name: disjoint_rdm(given.features, concepts.concepts, sets, language, silent=given.silent)
            for name, given in features.items()
        }
    joined = _joined(main, spaces["static"])
    rsa_of: list[tuple[EmotionSpace, np.ndarray, np.ndarray | None]] = [
        (space, rdms[name], rdms["static"] if name == kind else None) for name, space in spaces.items()
    ]
    # The mean weighs space and embeddings alike in every pair of categories.
    rsa_of.append((joined, (rdms[kind] + rdms["static"]) / 2, rdms["static"]))
    controls = {"set overlap": overlap_rdm(sets, language), "static embeddings": rdms["static"]}

    options: dict[str, Any] = {"seed": seed, "n_permutations": n_permutations}

    def rsa(against: Callable[..., Alignment], people: Any) -> list[Alignment]:
        """Return the RSA of every space, and that of the main one with what may explain it held constant."""
        with timed("axes and RSA"):
            return [
                *(against(space, people, rdm=rdm, beside=beside, **options) for space, rdm, beside in rsa_of),
                against(main, people, rdm=rdms[kind], controls=controls, **options),
            ]

    figures: list[Alignment] = []
    tables: dict[str, pd.DataFrame] = {f"rdm_{language}": _square(rdms[kind], main.categories)}
    missing: list[NotComputed] = []
    for rated in ratings:
        if rated.no_axes:
            missing.append(NotComputed(what="axes and circumplex", why=rated.no_axes, language=language))
        with timed("axes and RSA"):
            figures += (figure for space in spaces.values() for figure in axes(space, rated, **options))
        figures += rsa(rsa_affect, rated)
        with timed("Procrustes"):
            fit, circumplex = procrustes(main, rated, **options)
        figures.append(fit)
        if circumplex is not None and "circumplex" not in tables:
            table = rated.table.set_index("category").loc[list(circumplex.categories)]
            tables["circumplex"] = pd.DataFrame(
                {
                    "language": language,
                    "category": circumplex.categories,
                    "human_valence": circumplex.human[:, 0],
                    "human_arousal": circumplex.human[:, 1],
                    "human_source": table.source.to_list(),
                    "model_x": circumplex.model[:, 0],
                    "model_y": circumplex.model[:, 1],
                }
            )
            tables[f"rdm_human_{language}_valence_arousal"] = _square(
                rated.rdm(circumplex.categories), circumplex.categories
            )
    for structure in structures:
        figures += rsa(rsa_structure, structure)
        names = [category for category in main.categories if category in structure.categories]
        if structure.kind != "colexification" and len(names) >= FEWEST_RATED:
            tables[f"rdm_human_{language}_{structure.name}"] = _square(structure.select(names).rdm(), names)
    if not any(structure.kind == "co-annotation" for structure in structures):
        why = "no bundled co-annotation labels our categories in this language"
        missing.append(NotComputed(what="RSA with co-annotation", why=why, language=language))
    if not ratings:
        why = "no norms of this language are bundled or given (--norms FILE)"
        missing.append(NotComputed(what="valence and arousal of the categories", why=why, language=language))
    tables["rdm_layers"] = _layer_table(concepts)
    records = _records(_with_baseline(figures), model, layer, sets.provenance)
    return StageResult({"alignment": records}, tables, missing)


@stage(version=2)
def decode(
    *,
    model: str,
    layer: int,
    concepts: LanguageConcepts,
    ratings: Sequence[CategoryRatings],
    n_permutations: int,
    seed: int,
) -> StageResult:
    """Decode valence and arousal of unseen categories from CEBRA's embedding of the concepts.

    Raises
    ------
    ImportError
        If CEBRA is not installed.
    """
    kind = concepts.kind
    figures: list[Alignment] = []
    missing: list[NotComputed] = []
    for rated in ratings:
        try:
            with timed("CEBRA"):
                figures += cebra_alignment(
                    concepts.space(kind),
                    concepts.features(kind).features,
                    concepts.concepts,
                    concepts.sets,
                    rated,
                    seed=seed,
                    n_permutations=n_permutations,
                )
        except EmospaceError as error:
            missing.append(NotComputed(what=DECODING, why=str(error), language=concepts.language))
    records = _records(figures, model, layer, concepts.sets.provenance)
    return StageResult({"alignment": records}, {}, missing)


def _joined(main: EmotionSpace, static: EmotionSpace) -> EmotionSpace:
    """Return the features of the space beside the dimensions of the embeddings."""
    matrix = np.hstack([main.matrix, static.matrix])
    return replace(main, kind=f"{main.kind}_static", matrix=matrix, latents=np.arange(matrix.shape[1]))


def _records(
    figures: Sequence[Alignment], model: str, layer: int, provenance: Provenance
) -> list[AlignmentRecord]:
    return [
        AlignmentRecord.from_figure(
            row, model=model, layer=None if row.space == "static" else layer, provenance=provenance
        )
        for row in figures
    ]


def _with_baseline(figures: Sequence[Alignment]) -> list[Alignment]:
    """Put the static embeddings' value of the same figure beside each one that has no baseline yet."""

    def key(row: Alignment) -> tuple[object, ...]:
        return row.statistic, row.against, row.target, row.norms, row.controls

    static = {key(row): row.value for row in figures if row.space == "static"}
    return [
        row.model_copy(update={"baseline": static[key(row)], "baseline_name": "static input embeddings"})
        if row.space != "static" and row.baseline is None and static.get(key(row)) is not None
        else row
        for row in figures
    ]


@timed("RDMs of all layers")
def _layer_table(concepts: LanguageConcepts) -> pd.DataFrame:
    """Return the RDM of dense states at every layer, in the first carrier: a row a pair of categories."""
    import pandas as pd

    words, sets, language = concepts.concepts, concepts.sets, concepts.language
    states = concepts.words.layers
    parts = []
    for layer in range(states.shape[1]):
        space = build_space(states[:, layer], words, sets, language, kind="dense")
        features = kind_features(states[:, layer], None, "dense") - space.matrix.mean(axis=0)
        rdm = disjoint_rdm(features, words, sets, language)
        a, b = np.triu_indices(len(rdm), 1)
        names = np.array(space.categories)
        parts.append(
            pd.DataFrame(
                {
                    "language": language,
                    "layer": layer,
                    "a": names[a],
                    "b": names[b],
                    "dissimilarity": rdm[a, b],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _square(rdm: np.ndarray, categories: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(rdm, columns=list(categories))
    table.insert(0, "category", list(categories))
    return table
