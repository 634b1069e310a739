"""Norms by name or by file: the bundled sets, and the ratings a user brings."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emospace.errors import EmospaceError, unknown
from emospace.norms.layouts import LAYOUTS, Layout, Recognised, plain, recognise
from emospace.norms.rating_rows import read_ratings
from emospace.norms.reading import SUFFIXES, Grid, frame_grid, read_grids
from emospace.norms.word_norms import TARGETS, WordNorms, rejection_table

if TYPE_CHECKING:
    import pandas as pd

Scale = tuple[float, float] | Mapping[str, tuple[float, float]]
CARD_KEYS = (
    "language",
    "scale",
    "columns",
    "targets",
    "encoding",
    "sheet",
    "name",
    "licence",
    "citation",
    "note",
)


def load_norms(
    source: str | Path,
    *,
    language: str | None = None,
    scale: Scale | None = None,
    columns: Mapping[str, str] | None = None,
    targets: Sequence[str] | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
) -> WordNorms:
    """Return a bundled set by its name (or a part only it has, as ``glasgow``), or the ratings of a file.

    A file may be CSV, TSV or text (UTF-8, UTF-16, GB18030, CP949, Latin-1; commas, semicolons or tabs; decimal
    commas), a workbook or parquet. Its layout is recognised from its columns (`LAYOUTS`). What the file does not
    tell can be given here or, for good, in a card beside it: ``ratings.csv.toml`` with the same keys
    (``language = "de"``, ``scale = [1, 7]``) and name, licence, citation, note.

    Parameters
    ----------
    scale
        (lowest, highest) answer, for all targets or by target; stands over what the layout says.
    columns
        ``word``, ``valence``, ``valence_sd``, ``valence_n``, ... -> header in the file, where no layout fits.
    targets
        Take these targets alone.
    encoding, sheet
        Where the detected encoding or the first fitting sheet is not the right one.

    Raises
    ------
    EmospaceError
        If there is no such set or file, no layout fits, the scale or language cannot be known, or more than 20%
        of the rows cannot be used.
    """
    name = None if isinstance(source, Path) else _bundled_name(str(source))
    if name is not None:
        norms = _load_bundled(name)
        if language is not None and language != norms.language:
            raise EmospaceError(
                f"norms '{name}'", f"its words are '{norms.language}', not '{language}'", "Give another set."
            )
        return norms.only(tuple(targets)) if targets else norms

    path = Path(source)
    said = {"language": language, "scale": scale, "columns": columns, "targets": targets}
    said |= {"encoding": encoding, "sheet": sheet}
    card = {**_card(path), **{key: value for key, value in said.items() if value is not None}}
    tried: list[Grid] = []
    for grid in read_grids(path, encoding=card.get("encoding"), sheet=card.get("sheet")):
        found = (
            _named_columns(grid, card["columns"], str(path)) if "columns" in card else recognise(grid.rows)
        )
        if found:
            return _from_grid(grid, found, card, name=path.stem, what=str(path))
        tried.append(grid)
    raise _no_layout(str(path), tried)


def norms_from_table(
    frame: pd.DataFrame,
    name: str,
    *,
    language: str | None = None,
    scale: Scale | None = None,
    columns: Mapping[str, str] | None = None,
    targets: Sequence[str] | None = None,
) -> WordNorms:
    """Return the ratings of a data frame, checked as those of a file are (see `load_norms`)."""
    said = {"language": language, "scale": scale, "targets": targets}
    card = {key: value for key, value in said.items() if value is not None}
    grid, what = frame_grid(frame), f"table '{name}'"
    found = _named_columns(grid, columns, what) if columns else recognise(grid.rows)
    if not found:
        raise _no_layout(what, [grid])
    return _from_grid(grid, found, card, name=name, what=what)


def list_norms() -> pd.DataFrame:
    """Return the bundled sets: ``[name, language, script, words, targets, scale, licence, citation, note]``."""
    import pandas as pd

    rows = [
        {
            "name": name,
            "language": entry["language"],
            "script": entry.get("script", ""),
            "words": entry["words"],
            "targets": ", ".join(entry["scales"]),
            "scale": _scale_text(entry["scales"]),
            "licence": entry["licence"],
            "citation": entry["citation"],
            "note": entry.get("note", ""),
        }
        for name, entry in _index().items()
    ]
    return pd.DataFrame(rows)


def default_norms(language: str) -> tuple[str, ...]:
    """Return the bundled sets of a language, the one with most words first."""
    entries = {name: entry for name, entry in _index().items() if entry["language"] == language}
    return tuple(sorted(entries, key=lambda name: -entries[name]["words"]))


def _index() -> dict[str, Any]:
    return tomllib.loads((files("emospace") / "data" / "norms" / "index.toml").read_text(encoding="utf-8"))


def _bundled_name(given: str) -> str | None:
    """Return the bundled set that `given` names in full or by parts only it has; None if it looks like a file."""
    names = list(_index())
    wanted = given.casefold()
    if wanted in names:
        return wanted
    matching = [name for name in names if f"_{wanted}_" in f"_{name}_"]
    if len(matching) == 1:
        return matching[0]
    path = Path(given)
    if path.exists() or path.suffix.lower() in SUFFIXES or len(path.parts) > 1:
        return None
    if matching:
        raise EmospaceError(
            f"norms '{given}'", "several bundled sets match", f"Give one of: {', '.join(matching)}."
        )
    if wanted in ("warriner", "en_warriner_2013"):
        raise EmospaceError(
            f"norms '{given}'",
            "its licence (CC BY-NC-ND) does not let it be bundled",
            "Give the path of your copy of Ratings_Warriner_et_al.csv.",
        )
    parts = [part for name in names for part in name.split("_") if part.isalpha() and len(part) > 2]
    error = unknown("norms set", given, [*names, *parts])
    known = "" if error.mend.startswith("Did") else " Or give the path of a ratings file."
    raise EmospaceError(error.what, error.why, error.mend + known)


def _load_bundled(name: str) -> WordNorms:
    import pandas as pd

    entry = _index()[name]
    with (files("emospace") / "data" / "norms" / f"{name}.parquet").open("rb") as file:
        table = pd.read_parquet(file)
    rejected = [(row["row"], row["word"], row["reason"]) for row in entry.get("rejected", [])]
    return WordNorms(
        name=name,
        language=entry["language"],
        table=table,
        scales={target: (low, high) for target, (low, high) in entry["scales"].items()},
        targets=tuple(entry["scales"]),
        licence=entry["licence"],
        citation=entry["citation"],
        note=entry.get("note", ""),
        source=f"{entry['source']} sha256:{entry['source_sha256']}",
        redistributable=True,
        rejected=rejection_table(rejected),
        reading={"layout": "bundled", "rows": entry["rows"], "merged": entry.get("merged", 0)},
        script=entry.get("script", ""),
    )


def _card(path: Path) -> dict[str, Any]:
    """Return what the card beside a ratings file says of it, or nothing."""
    beside = path.with_name(path.name + ".toml")
    try:
        said = tomllib.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EmospaceError(str(beside), f"it is no TOML ({error})", "Mend it or take it away.") from error
    for key in said:
        if key not in CARD_KEYS:
            raise unknown("key in the card of a norms file", key, CARD_KEYS)
    return said


def _named_columns(grid: Grid, columns: Mapping[str, str], what: str) -> Recognised:
    """Return where the columns a user named lie in the header row."""
    if "word" not in columns or not {"valence", "arousal"} & set(columns):
        raise EmospaceError(
            what, "the columns given lack the word or its ratings", "Name 'word' and 'valence' or 'arousal'."
        )
    known = ["word", *(target + suffix for target in TARGETS for suffix in ("", "_sd", "_n"))]
    headers = [plain(cell) for cell in grid.rows[0]] if grid.rows else []
    at = {}
    for key, header in columns.items():
        if key not in known:
            raise unknown("column", key, known)
        if plain(header) not in headers:
            raise EmospaceError(
                what, f"it has no column '{header}'", f"Its columns: {', '.join(grid.rows[0]) or 'none'}."
            )
        at[key] = headers.index(plain(header))
    return Recognised(Layout(name="", columns=columns), at, 1, "", tuple(headers))


def _from_grid(grid: Grid, found: Recognised, card: Mapping[str, Any], *, name: str, what: str) -> WordNorms:
    layout = found.layout
    wanted = card.get("targets", TARGETS)
    for target in wanted:
        if target not in TARGETS:
            raise unknown("target", target, TARGETS)
    targets = tuple(t for t in TARGETS if t in found.columns and t in wanted)
    if not targets:
        raise EmospaceError(what, f"it has no {' or '.join(wanted)} ratings", "Ask for other targets.")
    scales = _scales(card.get("scale", layout.scale), targets, what)
    table, rejected, reading = read_ratings(grid, found, scales, targets, what)
    language = card.get("language") or found.language or _constant_column(grid, found, "language")
    if not language:
        raise EmospaceError(
            what,
            "nothing in it says which language its words are",
            f"Say so with language='de', or write language = \"de\" in '{what}.toml'.",
        )
    return WordNorms(
        name=card.get("name") or layout.name or name,
        language=language,
        table=table,
        scales=scales,
        targets=targets,
        licence=card.get("licence", layout.licence),
        citation=card.get("citation", layout.citation),
        note=card.get("note", layout.note),
        source=what,
        rejected=rejected,
        reading={
            "layout": layout.name or "tidy",
            "encoding": grid.encoding,
            "separator": grid.separator,
            "sheet": grid.sheet,
            "columns": {key: grid.rows[found.first_row - 1][at] for key, at in found.columns.items()},
            **reading,
        },
        script=layout.script,
    )


def _scales(said: Any, targets: tuple[str, ...], what: str) -> dict[str, tuple[float, float]]:
    scales = {}
    for target in targets:
        pair = said.get(target) if isinstance(said, Mapping) else said
        if pair is None:
            raise EmospaceError(
                what,
                f"nothing in it says on which scale {target} was rated",
                f"Say so with scale=(lowest, highest), or write scale = [1, 9] in '{what}.toml'.",
            )
        try:
            low, high = (float(end) for end in pair)
        except (TypeError, ValueError):
            low = high = 0.0
        if not low < high:
            raise EmospaceError(
                what, f"{pair!r} is no scale", "Give two numbers, the lowest and highest answer."
            )
        scales[target] = (low, high)
    return scales


def _constant_column(grid: Grid, found: Recognised, header: str) -> str:
    """Return the one value of a column, or nothing if there is no such column or it varies."""
    if header not in found.headers:
        return ""
    at = found.headers.index(header)
    values = {row[at].strip() for row in grid.rows[found.first_row :] if at < len(row)} - {""}
    return values.pop() if len(values) == 1 else ""


def _no_layout(what: str, grids: list[Grid]) -> EmospaceError:
    headers = next((grid.rows[0] for grid in grids if grid.rows), [])
    shown = ", ".join(f"'{header.strip()}'" for header in headers[:12]) + (
        ", ..." if len(headers) > 12 else ""
    )
    words = {"word", "words", "term", "terms", "lemma", "item"}
    has_word = any(plain(header) in words or plain(header).startswith("word_") for header in headers)
    missing = "no column of valence or arousal ratings" if has_word else "no word column"
    return EmospaceError(
        what,
        f"it has {missing} in any of the {len(LAYOUTS)} layouts known (its columns: {shown or 'none'})",
        "Name them with columns={'word': ..., 'valence': ..., 'arousal': ...} or in a card "
        f"'{what}.toml', or add a header row.",
    )


def _scale_text(scales: Mapping[str, Sequence[float]]) -> str:
    texts = {target: f"{low:g}..{high:g}" for target, (low, high) in scales.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return ", ".join(f"{target} {text}" for target, text in texts.items())
