"""Dissimilarities to and from rsatoolbox: its `RDMs` hold several matrices over the same categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.errors import InvalidInput, MissingDependency
from emospace.structure.similarity import CategoryStructure

if TYPE_CHECKING:
    from types import ModuleType

CATEGORY, NAME = "category", "name"
"""Names of our descriptors: of rows and columns, and of a matrix."""


def to_rdms(rdms: Mapping[str, np.ndarray], categories: Sequence[str]) -> Any:
    """Return dissimilarities as `rsatoolbox.rdm.RDMs`, with the categories and the names as descriptors.

    Parameters
    ----------
    rdms
        Name -> ``[n_categories, n_categories]`` dissimilarities, such as those of `EmotionSpace.rdm` or
        `CategoryStructure.rdm`; NaN where there is none.
    categories
        Of the rows and columns of all of them.

    Raises
    ------
    EmospaceError
        If rsatoolbox is not installed, or a matrix has another size.
    """
    n = len(categories)
    for name, rdm in rdms.items():
        if np.shape(rdm) != (n, n):
            raise InvalidInput(
                f"the dissimilarities {name!r} of shape {list(np.shape(rdm))}",
                f"{n} categories are named",
                "Give one row and column for each category.",
            )
    upper = np.triu_indices(n, 1)
    return _library().RDMs(
        np.stack([np.asarray(rdm, dtype=np.float64)[upper] for rdm in rdms.values()]),
        rdm_descriptors={NAME: list(rdms)},
        pattern_descriptors={CATEGORY: list(categories)},
    )


def from_rdms(
    rdms: Any, language: str, *, categories: Sequence[str] | None = None
) -> list[CategoryStructure]:
    """Return each of rsatoolbox's matrices as a category structure, similarities being 1 - distance / largest distance.

    Parameters
    ----------
    rdms
        `rsatoolbox.rdm.RDMs`.
    language
        ISO 639-1 code of the people or texts behind them; ``multi`` for several.
    categories
        Of the rows and columns; None takes the pattern descriptor ``category``, else ``conds``.

    Raises
    ------
    EmospaceError
        If no descriptor names the categories, or their number is another.
    """
    described = rdms.pattern_descriptors
    given = categories if categories is not None else described.get(CATEGORY, described.get("conds"))
    matrices = rdms.get_matrices()
    if given is None or len(given) != matrices.shape[1]:
        raise InvalidInput(
            f"dissimilarities of {matrices.shape[1]} patterns",
            "nothing names the category of each",
            "Give categories=, one for each pattern in their order.",
        )
    names = rdms.rdm_descriptors.get(NAME, [f"rdm_{number}" for number in range(len(matrices))])
    return [
        CategoryStructure(
            name=str(name),
            language=language,
            categories=tuple(map(str, given)),
            similarity=1 - matrix / np.nanmax(matrix),
            kind="rated similarity",
        )
        for name, matrix in zip(names, matrices, strict=True)
    ]


def _library() -> ModuleType:
    try:
        import rsatoolbox.rdm
    except ImportError as error:
        raise MissingDependency(
            "RDMs of rsatoolbox", "rsatoolbox is not installed", "Run: pip install rsatoolbox"
        ) from error
    library: ModuleType = rsatoolbox.rdm
    return library
