"""Category structures that people measured themselves: matrices, pairs, labelled items and free sorting, from files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import ValidationError

from emospace.artefacts import read_object, write_text
from emospace.errors import DiskError, InvalidInput, unknown
from emospace.norms.cards import OpenQuestion, card_path, toml_value
from emospace.norms.grids import Grid, read_grids
from emospace.specs.structures import LAYOUTS, Layout, StructureCard, Values
from emospace.structure.similarity import FEWEST_COMPARED, CategoryStructure, phi

N_SPLITS = 20
MOST_ASYMMETRY = 0.05
"""Mean difference of the two halves of a matrix, as a share of the range of its values, that is taken for rounding."""

_HEADERS: Mapping[str, re.Pattern[str]] = {
    "person": re.compile(
        r"(participant|subject|person|rater|sorter|child|text|item)?[ _]?(id|nr|no)?|vp|pp", re.I
    ),
    "category": re.compile(r"category|emotion|item|word|card|term|label|face", re.I),
    "pile": re.compile(r"pile|group|cluster|sort|stack|bin", re.I),
    "labels": re.compile(r"labels?|emotions?|categories|tags?", re.I),
}


def read_structure_card(path: Path) -> StructureCard:
    """Return the card beside a structure's file (``FILE.toml``), empty where there is none.

    Raises
    ------
    EmospaceError
        If it is no TOML, or a key or value is none that it may have.
    """
    beside = card_path(path)
    if not beside.exists():
        return StructureCard()
    try:
        return StructureCard(**read_object(beside, hint="Fix it or delete it."))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        known = ", ".join(StructureCard.model_fields)
        raise InvalidInput(
            str(beside), f"its key '{key}' cannot be used ({problem['msg']})", f"It may have: {known}."
        ) from error


def write_structure_card(path: Path, card: StructureCard) -> Path:
    """Write the card beside a structure's file and return where it lies."""
    beside = card_path(path)
    lines = ["# How emospace reads the file beside this one; see docs/data.md."]
    lines += [f"{key} = {toml_value(value)}" for key, value in card.model_dump(exclude_defaults=True).items()]
    write_text(beside, "\n".join(lines) + "\n")
    return beside


def structure_from_file(
    path: str | Path, given: StructureCard | None = None, *, known: Sequence[str] = ()
) -> tuple[CategoryStructure, StructureCard]:
    """Return the category structure of a file, and the card that states how it was read.

    Read are CSV, TSV, workbooks, Parquet and the other tables that `load_norms` reads, in the layouts of `LAYOUTS`.
    Labelled items and counts give phi coefficients, graded ratings of items correlations, sorting the share of people
    who put two categories on one pile; distances give ``1 - distance / largest distance``. Texts and people are split
    in random halves for `CategoryStructure.split_half`.

    Parameters
    ----------
    path
        The file; what its card (``FILE.toml``) states holds.
    given
        What is stated besides; it stands over the card.
    known
        Our categories. Theirs are matched by name without regard to case; those that match none keep their own name.

    Raises
    ------
    OpenQuestion
        If the file does not say its language, its layout, or whether values are similarities or distances.
    EmospaceError
        If it cannot be read, is not symmetric, or holds fewer than `FEWEST_COMPARED` of the categories known.
    """
    path = Path(path)
    if not path.is_file():
        raise DiskError(str(path), "there is no such file", "Check the path.")
    card = read_structure_card(path).merged(given or StructureCard())
    grid = next(read_grids(path, encoding=card.encoding, sheet=card.sheet))
    layout = card.layout or _layout(grid)
    card = card.model_copy(update={"layout": layout})
    categories, parts, card = READERS[layout](grid, card)
    card = _described(path, card)
    assert card.name is not None and card.language is not None
    called = _ours(categories, card.names, known, str(path))
    structure = CategoryStructure(
        name=card.name,
        language=card.language,
        categories=called,
        licence=card.licence,
        citation=card.citation,
        note=card.note,
        **parts,
    )
    shared = [name for name in called if name in known]
    if known and len(shared) < FEWEST_COMPARED:
        raise InvalidInput(
            str(path),
            f"{len(shared)} of its {len(called)} categories ({', '.join(called[:8])}, ...) are known here, and a "
            f"comparison needs {FEWEST_COMPARED}",
            "Say which is which: --category THEIRS=OURS, or names = { THEIRS = 'OURS' } in its card.",
        )
    return structure, card


def _described(path: Path, card: StructureCard) -> StructureCard:
    """Return the card with a name, or ask for the language."""
    if card.language is None:
        raise OpenQuestion(
            str(path),
            "it does not say the language of the texts or people",
            "Say --language en (its code), or --language multi for a comparison with every language.",
            key="language",
        )
    name = card.name or path.name.split(".")[0]
    return card.model_copy(update={"name": re.sub(r"[^\w-]+", "_", name).strip("_") or "structure"})


def _ours(
    categories: Sequence[str], names: Mapping[str, str], known: Sequence[str], source: str
) -> tuple[str, ...]:
    """Return our names of a file's categories, theirs where we have none."""
    for theirs, ours in names.items():
        if theirs not in categories:
            raise unknown(f"category of {source}", theirs, list(categories))
        if known and ours not in known:
            raise unknown("emotion category", ours, list(known))
    by_fold = {name.casefold().replace("_", " "): name for name in known}
    called = tuple(
        names.get(name) or by_fold.get(name.casefold().replace("_", " "), name) for name in categories
    )
    twice = sorted({name for name in called if called.count(name) > 1})
    if twice:
        raise InvalidInput(
            source, f"several of its categories are '{twice[0]}'", "Give each of ours to one of theirs."
        )
    return called


def _layout(grid: Grid) -> Layout:
    """Return the layout of a table, or ask for it."""
    header, body = _cut(grid)
    first = [row[0].strip() for row in body]
    if len(header) > 2 and {name for name in header[1:] if name} == set(first):
        return "matrix"
    if len(header) == 3:
        if all(any(_HEADERS[role].fullmatch(name) for name in header) for role in ("person", "pile")):
            return "piles"
        if not _numeric(body, 0) and not _numeric(body, 1) and _numeric(body, 2):
            return "pairs"
    n_numeric = sum(_numeric(body, column) for column in range(len(header)))
    if n_numeric >= FEWEST_COMPARED and len(body) > len(header):
        return "items"
    if any(_HEADERS["labels"].fullmatch(name) for name in header):
        return "labels"
    raise OpenQuestion(
        grid.source,
        "its columns do not say what its rows are",
        f"Say --layout: {'; '.join(f'{name} ({text})' for name, text in LAYOUTS.items())}.",
        key="layout",
        choices=get_args(Layout),
    )


def _cut(grid: Grid) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows, each as wide as the header."""
    if len(grid.rows) < 2:
        raise InvalidInput(grid.source, "it has no rows below a header", "Give a table with a header row.")
    header = [cell.strip() for cell in grid.rows[0]]
    width = max(len(row) for row in grid.rows)
    header += [""] * (width - len(header))
    return header, [row + [""] * (width - len(row)) for row in grid.rows[1:]]


def _number(cell: str) -> float:
    """Return a cell's number, a decimal comma included; NaN of an empty cell or a text."""
    text = cell.strip().replace("−", "-")
    try:
        return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        return float("nan")


def _numeric(body: Sequence[Sequence[str]], column: int) -> bool:
    """Return whether a column holds numbers, and no text besides what stands for none."""
    cells = [row[column].strip() for row in body if row[column].strip()]
    values = [_number(cell) for cell in cells if cell.upper() not in ("NA", "NAN", ".", "-")]
    return bool(values) and all(np.isfinite(values))


def _values(body: Sequence[Sequence[str]], columns: Sequence[int]) -> np.ndarray:
    return np.array([[_number(row[column]) for column in columns] for row in body]).reshape(len(body), -1)


Parts = tuple[tuple[str, ...], dict[str, Any], StructureCard]


def _matrix(grid: Grid, card: StructureCard) -> Parts:
    header, body = _cut(grid)
    categories = tuple(row[0].strip() for row in body)
    columns = {name: place for place, name in enumerate(header) if place and name}
    if set(columns) != set(categories) or len(columns) != len(categories):
        odd = sorted(set(columns) ^ set(categories))
        raise InvalidInput(
            grid.source,
            f"rows and columns are not the same categories ({', '.join(odd[:5]) or 'one stands twice'})",
            "Give a square table with each category in one row and one column.",
        )
    return _of_pairs(categories, _values(body, [columns[name] for name in categories]), grid.source, card)


def _pairs(grid: Grid, card: StructureCard) -> Parts:
    _, body = _cut(grid)
    categories = tuple(dict.fromkeys(row[side].strip() for side in (0, 1) for row in body))
    at = {name: place for place, name in enumerate(categories)}
    matrix = np.full((len(at), len(at)), np.nan)
    for number, row in zip(grid.numbers[1:], body, strict=True):
        a, b, value = at[row[0].strip()], at[row[1].strip()], _number(row[2])
        if np.isfinite(matrix[a, b]) and not np.isclose(matrix[a, b], value):
            raise InvalidInput(
                f"{grid.source}, row {number}",
                f"the pair {row[0].strip()}, {row[1].strip()} has another value above",
                "Give each pair once, or its mean.",
            )
        matrix[a, b] = matrix[b, a] = value
    return _of_pairs(categories, matrix, grid.source, card)


def _of_pairs(categories: tuple[str, ...], matrix: np.ndarray, source: str, card: StructureCard) -> Parts:
    """Return the similarity that numbers of pairs state, `matrix` ``[n, n]``, NaN where nothing is stated."""
    off = ~np.eye(len(matrix), dtype=bool)
    matrix = _symmetric(matrix, source)
    known = matrix[off & np.isfinite(matrix)]
    if not len(known) or not np.ptp(known) > 0:
        raise InvalidInput(source, "its pairs do not differ", "Give a value for each pair of categories.")
    values = card.values or _kind_of_values(matrix, known, source)
    card = card.model_copy(update={"values": values})
    if values == "counts":
        if card.n_items is None:
            raise OpenQuestion(
                source,
                "its values are counts, and it does not say of how many",
                "Say --n-items: the texts or people that were counted.",
                key="n_items",
            )
        counts = np.nan_to_num(matrix)
        wrong = (np.diag(counts)[:, None] < counts) | (np.diag(counts) > card.n_items)[:, None]
        if (counts < 0).any() or wrong.any():
            raise InvalidInput(
                source,
                "a pair was counted more often than one of its categories, or a category than there are items",
                "Write how often each category occurs on the diagonal, and --n-items for all.",
            )
        parts: dict[str, Any] = {"kind": "co-annotation", "counts": counts.astype(int)}
        return (
            categories,
            parts | {"similarity": phi(counts, card.n_items), "n_items": card.n_items},
            card,
        )
    similarity = 1 - matrix / known.max() if values == "distance" else matrix.copy()
    if values == "similarity" and max(abs(known)) > 1:
        # Ratings of similarity have scales of their own; only their order is compared.
        similarity = matrix / max(abs(known).max(), np.nanmax(abs(np.diag(matrix)), initial=0))
    np.fill_diagonal(similarity, 1)
    return categories, {"kind": "rated similarity", "similarity": similarity}, card


def _symmetric(matrix: np.ndarray, source: str) -> np.ndarray:
    """Return the mean of a matrix and its transpose; a half that is empty is filled from the other."""
    both = np.stack([matrix, matrix.T])
    stated = np.isfinite(both)
    differences = abs(matrix - matrix.T)[stated.all(0)]
    spread = np.ptp(matrix[np.isfinite(matrix)]) if np.isfinite(matrix).any() else 0.0
    if len(differences) and spread and differences.mean() > MOST_ASYMMETRY * spread:
        raise InvalidInput(
            source,
            "it is not symmetric: a, b differs from b, a",
            "Give similarities that do not depend on the order, as the mean of both.",
        )
    return np.where(stated.any(0), np.nansum(both, 0) / np.maximum(stated.sum(0), 1), np.nan)


def _kind_of_values(matrix: np.ndarray, known: np.ndarray, source: str) -> Values:
    """Return what the numbers of pairs are by their diagonal, or ask."""
    diagonal = np.diag(matrix)[np.isfinite(np.diag(matrix))]
    if len(diagonal):
        if (diagonal == 0).all() and (known >= 0).all():
            return "distance"
        if np.ptp(diagonal) == 0 and diagonal[0] >= known.max():
            return "similarity"
        if (diagonal >= 1).all() and (matrix[np.isfinite(matrix)] % 1 == 0).all():
            return "counts"
    raise OpenQuestion(
        source,
        "its numbers do not say whether a high one means alike or different",
        "Say --values similarity, distance or counts.",
        key="values",
        choices=get_args(Values),
    )


def _items(grid: Grid, card: StructureCard) -> Parts:
    header, body = _cut(grid)
    is_number = [bool(_HEADERS["person"].fullmatch(name)) for name in header]
    columns = [
        place for place, name in enumerate(header) if name and not is_number[place] and _numeric(body, place)
    ]
    values = _values(body, columns)
    values = values[np.isfinite(values).all(1)]
    if len(values) < 10:
        raise InvalidInput(
            grid.source, f"{len(values)} of its rows rate every category", "Give 10 rows or more."
        )
    flat = [header[place] for place, column in zip(columns, values.T, strict=True) if not np.ptp(column) > 0]
    if flat:
        raise InvalidInput(
            grid.source, f"all rows have the same value of '{flat[0]}'", "Leave that column out."
        )
    categories = tuple(header[place] for place in columns)
    if np.isin(values, (0, 1)).all():
        return categories, _co_annotation(values.astype(int)), card
    correlations: Callable[[np.ndarray], np.ndarray] = lambda rows: np.corrcoef(rows, rowvar=False)  # noqa: E731
    parts = {"kind": "rated similarity", "similarity": correlations(values)}
    return categories, parts | _halved(values, correlations), card


def _labels(grid: Grid, card: StructureCard) -> Parts:
    header, body = _cut(grid)
    places = [place for place, name in enumerate(header) if _HEADERS["labels"].fullmatch(name)]
    if len(places) != 1:
        raise InvalidInput(
            grid.source, f"{len(places)} of its columns may be the labels", "Call that column 'labels'."
        )
    marked = [
        {label.strip() for label in re.split(r"[;,|]", row[places[0]]) if label.strip()} for row in body
    ]
    categories = tuple(sorted(set().union(*marked)))
    marks = np.array([[name in labels for name in categories] for labels in marked], dtype=int)
    return categories, _co_annotation(marks), card


def _co_annotation(marks: np.ndarray) -> dict[str, Any]:
    """Return the phi coefficients of indicators ``[n_items, n_categories]``."""
    indicators: Callable[[np.ndarray], np.ndarray] = lambda rows: phi(rows.T @ rows, len(rows))  # noqa: E731
    return {
        "kind": "co-annotation",
        "similarity": indicators(marks),
        "counts": marks.T @ marks,
        "n_items": len(marks),
    } | _halved(marks, indicators)


def _piles(grid: Grid, card: StructureCard) -> Parts:
    header, body = _cut(grid)
    place: dict[str, int] = {}
    for role in ("pile", "person", "category"):
        free = [i for i, name in enumerate(header) if i not in place.values() and name]
        named = [i for i in free if _HEADERS[role].fullmatch(header[i])]
        if len(named) != 1 and not (role == "category" and len(free) == 1):
            raise InvalidInput(
                grid.source,
                f"no column, or more than one, is called as a {role}",
                "Call its columns person, category and pile.",
            )
        place[role] = (named or free)[0]
    rows = [[row[place[role]].strip() for role in ("person", "category", "pile")] for row in body]
    categories = tuple(sorted({category for _, category, _ in rows}))
    people = sorted({person for person, _, _ in rows})
    at = {name: i for i, name in enumerate(categories)}
    piles: dict[str, dict[str, set[int]]] = {person: {} for person in people}
    for person, category, pile in rows:
        piles[person].setdefault(pile, set()).add(at[category])
    together = np.zeros((len(people), len(at), len(at)))
    for number, person in enumerate(people):
        sorted_by = set().union(*piles[person].values())
        together[number] = np.nan
        for a, b in combinations(sorted_by, 2):
            together[number, a, b] = together[number, b, a] = 0
        for members in piles[person].values():
            for a, b in combinations(members, 2):
                together[number, a, b] = together[number, b, a] = 1

    def share(rows: np.ndarray) -> np.ndarray:
        stated = np.isfinite(rows)
        means = np.where(stated.any(0), np.nansum(rows, 0) / np.maximum(stated.sum(0), 1), np.nan)
        np.fill_diagonal(means, 1)
        return means

    parts = {"kind": "rated similarity", "similarity": share(together), "n_items": len(people)}
    return categories, parts | _halved(together, share), card


def _halved(rows: np.ndarray, similarity: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    """Return the similarity over random halves of texts or people, ``[n_splits, 2, n, n]``; nothing below 20 rows."""
    if len(rows) < 20:
        return {}
    rng = np.random.default_rng(0)
    halves = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(N_SPLITS):
            order = rng.permutation(len(rows))
            halves.append([similarity(rows[order[side::2]]) for side in (0, 1)])
    return {"halves": np.array(halves)}


READERS: Mapping[str, Callable[[Grid, StructureCard], Parts]] = {
    "matrix": _matrix,
    "pairs": _pairs,
    "items": _items,
    "labels": _labels,
    "piles": _piles,
}
