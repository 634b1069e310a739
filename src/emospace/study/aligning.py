"""The alignment stage: the model's categories in three kinds of space against people's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.alignment import Alignment, axes, cebra_alignment, procrustes, rsa_affect, rsa_structure
from emospace.errors import EmospaceError
from emospace.records import AlignmentRecord, NotComputed
from emospace.space import Transform, build_space, disjoint_rdm, overlap_rdm, standardise
from emospace.structure import category_ratings, load_structure
from emospace.study.cache import StageResult

if TYPE_CHECKING:
    import pandas as pd

    from emospace.concepts import ConceptSets
    from emospace.features import FeatureDictionary, MatchedPool
    from emospace.norms import WordNorms
    from emospace.study.encoding import Encoded
    from emospace.study.spec import StudySpec

STRUCTURES = {"en": "goemotions"}
"""The co-annotation a language's categories are compared with; others have none whose labels are ours."""


def align(
    model_name: str,
    layer: int,
    spec: StudySpec,
    sets: ConceptSets,
    language: str,
    encoded: Encoded,
    static: np.ndarray,
    pool: MatchedPool,
    dictionary: FeatureDictionary,
    norms: Sequence[WordNorms],
) -> StageResult:
    """Compare a language's emotion space with people's valence, arousal and category structure.

    Parameters
    ----------
    encoded
        Concept and pool words.
    static
        Input embeddings of the same words, ``[n_words, d_model]``: the baseline beside every figure.
    """
    import pandas as pd

    concepts = list(sets.words(language))
    rows, pool_rows = encoded.rows(concepts), encoded.rows(pool.words)
    codes = encoded.codes if encoded.codes is not None else encoded.states
    kind = "sae" if encoded.codes is not None else "dense"
    chosen = dictionary.latents if encoded.codes is not None else None
    sources = {kind: (codes, chosen), "dense": (encoded.states, None), "static": (static, None)}
    spaces, features = {}, {}
    for name, (values, latents) in sources.items():
        transform: Transform = "log1p" if name == "sae" else "raw"
        features[name] = standardise(values[rows], latents, pool=values[pool_rows], transform=transform)
        spaces[name] = build_space(
            values[rows], concepts, sets, language, latents, pool=values[pool_rows], kind=name
        )
        # What all categories share (being an emotion word at all) would make every pair alike.
        features[name] -= spaces[name].matrix.mean(axis=0)
    main = spaces[kind]
    rdms = {name: disjoint_rdm(features[name], concepts, sets, language) for name in spaces}
    controls = {"set overlap": overlap_rdm(sets, language), "static embeddings": rdms["static"]}

    found: list[Alignment] = []
    tables: dict[str, pd.DataFrame] = {f"rdm_{language}": _square(rdms[kind], main.categories)}
    missing: list[NotComputed] = []
    options: dict[str, Any] = {"seed": spec.seed, "n_permutations": spec.n_permutations}
    for norm in norms:
        ratings = category_ratings(sets, norm, language)
        if ratings.no_axes:
            missing.append(NotComputed(what="axes and circumplex", why=ratings.no_axes, language=language))
        for name, space in spaces.items():
            found += axes(space, ratings, **options)
            found.append(rsa_affect(space, ratings, rdm=rdms[name], **options))
        found.append(rsa_affect(main, ratings, rdm=rdms[kind], controls=controls, **options))
        figure, circumplex = procrustes(main, ratings, **options)
        found.append(figure)
        if circumplex is not None and "circumplex" not in tables:
            table = ratings.table.set_index("category").loc[list(circumplex.categories)]
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
                ratings.rdm(circumplex.categories), circumplex.categories
            )
        if spec.cebra and kind == "sae" and not ratings.no_axes:
            try:
                decoded, _ = cebra_alignment(
                    main,
                    features[kind],
                    concepts,
                    sets,
                    ratings,
                    seed=spec.seed,
                    n_permutations=spec.n_permutations,
                )
                found += decoded
            except (EmospaceError, ImportError) as error:
                missing.append(NotComputed(what="CEBRA", why=str(error), language=language))
    if language in STRUCTURES:
        structure = load_structure(STRUCTURES[language])
        for name, space in spaces.items():
            found.append(rsa_structure(space, structure, rdm=rdms[name], **options))
        found.append(rsa_structure(main, structure, rdm=rdms[kind], controls=controls, **options))
        names = [category for category in main.categories if category in structure.categories]
        if names:
            tables[f"rdm_human_{language}_{structure.name}"] = _square(structure.select(names).rdm(), names)
    else:
        why = "no bundled co-annotation labels our categories in this language"
        missing.append(NotComputed(what="RSA with co-annotation", why=why, language=language))
    records = [
        AlignmentRecord(
            model=model_name,
            layer=None if row.space == "static" else layer,
            provenance=sets.provenance,
            **asdict(row),
        )
        for row in _with_baseline(found)
    ]
    save = {"alignment": records}
    return StageResult(save, tables, missing)


def _with_baseline(found: Sequence[Alignment]) -> list[Alignment]:
    """Put the static embeddings' value of the same figure beside each one that has no baseline yet."""

    def key(row: Alignment) -> tuple[object, ...]:
        return row.statistic, row.against, row.target, row.norms, row.controls

    static = {key(row): row.value for row in found if row.space == "static"}
    return [
        replace(row, baseline=static[key(row)], baseline_name="static input embeddings")
        if row.space != "static" and row.baseline is None and static.get(key(row)) is not None
        else row
        for row in found
    ]


def _square(rdm: np.ndarray, categories: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(rdm, columns=list(categories))
    table.insert(0, "category", list(categories))
    return table
