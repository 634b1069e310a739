"""The alignment stage: the model's categories in three kinds of space against people's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.alignment import Alignment, axes, cebra_alignment, procrustes, rsa_affect, rsa_structure
from emospace.errors import EmospaceError
from emospace.profiling import timed
from emospace.records import AlignmentRecord, NotComputed
from emospace.space import build_space, disjoint_rdm, overlap_rdm
from emospace.structure import FEWEST_RATED, category_ratings, load_structure, structures_for
from emospace.study.cache import StageResult

if TYPE_CHECKING:
    import pandas as pd

    from emospace.study.material import Study


def align(study: Study, language: str) -> StageResult:
    """Compare a language's emotion space with people's valence, arousal and category structure.

    The space of static input embeddings is the baseline beside every figure.
    """
    import pandas as pd

    spec, sets = study.spec, study.sets
    kind = "dense" if study.sae is None else "sae"
    kinds = tuple(dict.fromkeys([kind, "dense", "static"]))
    with timed("spaces"):
        spaces = {name: study.space(language, name) for name in kinds}
        features = {name: study.features(language, name) for name in kinds}
    main = spaces[kind]
    concepts = features[kind].words
    with timed("RDMs"):
        rdms = {name: disjoint_rdm(features[name].features, concepts, sets, language) for name in spaces}
    controls = {"set overlap": overlap_rdm(sets, language), "static embeddings": rdms["static"]}

    found: list[Alignment] = []
    tables: dict[str, pd.DataFrame] = {f"rdm_{language}": _square(rdms[kind], main.categories)}
    missing: list[NotComputed] = []
    options: dict[str, Any] = {"seed": spec.seed, "n_permutations": spec.n_permutations}
    for norm in study.norms[language]:
        ratings = category_ratings(sets, norm, language)
        if ratings.no_axes:
            missing.append(NotComputed(what="axes and circumplex", why=ratings.no_axes, language=language))
        with timed("axes and RSA"):
            for name, space in spaces.items():
                found += axes(space, ratings, **options)
                found.append(rsa_affect(space, ratings, rdm=rdms[name], **options))
            found.append(rsa_affect(main, ratings, rdm=rdms[kind], controls=controls, **options))
        with timed("Procrustes"):
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
                with timed("CEBRA"):
                    decoded, _ = cebra_alignment(
                        main,
                        features[kind].features,
                        concepts,
                        sets,
                        ratings,
                        seed=spec.seed,
                        n_permutations=spec.n_permutations,
                    )
                found += decoded
            except (EmospaceError, ImportError) as error:
                missing.append(NotComputed(what="CEBRA", why=str(error), language=language))
    structures = [load_structure(name) for name in structures_for(language, sets.families.get(language))]
    for structure in structures:
        with timed("axes and RSA"):
            for name, space in spaces.items():
                found.append(rsa_structure(space, structure, rdm=rdms[name], **options))
            found.append(rsa_structure(main, structure, rdm=rdms[kind], controls=controls, **options))
        names = [category for category in main.categories if category in structure.categories]
        if structure.kind == "co-annotation" and len(names) >= FEWEST_RATED:
            tables[f"rdm_human_{language}_{structure.name}"] = _square(structure.select(names).rdm(), names)
    if not any(structure.kind == "co-annotation" for structure in structures):
        why = "no bundled co-annotation labels our categories in this language"
        missing.append(NotComputed(what="RSA with co-annotation", why=why, language=language))
    if not study.norms[language]:
        why = "no norms of this language are bundled or given (--norms FILE)"
        missing.append(NotComputed(what="valence and arousal of the categories", why=why, language=language))
    tables["rdm_layers"] = _layer_table(study, language)
    records = [
        AlignmentRecord(
            model=study.name,
            layer=None if row.space == "static" else study.layer,
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


@timed("RDMs of all layers")
def _layer_table(study: Study, language: str) -> pd.DataFrame:
    """Return the RDM of dense states at every layer, in the first carrier: a row a pair of categories."""
    import pandas as pd

    concepts = list(study.sets.words(language))
    states = study.encoded(language).concept_states
    parts = []
    for layer in range(states.shape[1]):
        space = build_space(states[:, layer], concepts, study.sets, language, kind="dense")
        features = states[:, layer] - space.matrix.mean(axis=0)
        rdm = disjoint_rdm(features, concepts, study.sets, language)
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
