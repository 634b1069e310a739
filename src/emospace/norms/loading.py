"""Norms by name or by file: the bundled sets, and the ratings a user brings."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from emospace.errors import EmospaceError, unknown
from emospace.norms.cards import Card, checked, differences, merged, read_card
from emospace.norms.direction import AnchorsOf
from emospace.norms.grids import SUFFIXES, Grid, read_grids
from emospace.norms.reading import read_norms
from emospace.norms.word_norms import WordNorms, rejection_table

if TYPE_CHECKING:
    import pandas as pd


def load_norms(source: str | Path, *, anchors: AnchorsOf | None = None, **given: Unpack[Card]) -> WordNorms:
    """Return a bundled set by its name (or a part only it has, as ``glasgow``), or the ratings of a file.

    A file may be CSV, TSV or text (UTF-8, UTF-16, GB18030, CP949, Latin-1; commas, semicolons or tabs; decimal
    commas), a workbook, JSON, or a table of another program (`read_grids`). Its layout is recognised from its columns.

    Parameters
    ----------
    source
        The name of a bundled set (`list_norms`), or the path of a ratings file; a `Path` is always a file.
    given
        What the file does not say, by the keys of `Card` (`CARD_KEYS` holds what each means). The same may stand, for
        good, in a card beside the file, ``ratings.csv.toml``; what is given here stands over it.
    anchors
        Language -> `anchor_words` by which a reversed scale is seen besides the bundled words of ``anchors.toml``, or
        None where there are none. The direction of bundled sets is not checked again.

    Raises
    ------
    OpenQuestion
        If the file does not say its columns, scale, language or script, or a scale looks reversed or cannot be checked
        and the card does not say how it runs; all that is open at once.
    EmospaceError
        If there is no such set or file, it mixes scales, its words are of another script or language, or more than 20%
        of the rows cannot be used.
    """
    options = checked({key: value for key, value in given.items() if value is not None}, str(source))
    name = None if isinstance(source, Path) else _bundled_name(str(source))
    if name is not None:
        norms = _load_bundled(name)
        language, targets = options.get("language", norms.language), options.get("targets")
        if language != norms.language:
            raise EmospaceError(
                f"norms '{name}'", f"its words are '{norms.language}', not '{language}'", "Give another set."
            )
        return norms.only(tuple(targets)) if targets else norms

    path = Path(source)
    beside = read_card(path)
    card = merged(beside, options)
    norms = norms_from_file(path, card, anchors=anchors)
    changed = differences(*({key: c[key] for key in options if key in beside} for c in (beside, card)))
    return replace(norms, reading={**norms.reading, "said_over_card": changed}) if changed else norms


def norms_from_file(
    path: Path, card: Mapping[str, Any], *, anchors: AnchorsOf | None = None, settle: bool = False
) -> WordNorms:
    """Return the ratings of a file as a card says; the card beside the file is not read (see `load_norms`).

    With `settle`, a direction of valence that too few words show is asked for, not left unchecked.
    """
    card = checked(card, str(path))
    grids = read_grids(path, encoding=card.get("encoding"), sheet=card.get("sheet"))
    return read_norms(grids, card, path.stem, str(path), anchors=anchors, settle=settle)


def norms_from_table(frame: pd.DataFrame, name: str, /, **given: Unpack[Card]) -> WordNorms:
    """Return the ratings of a data frame, checked as those of a file are (see `load_norms`).

    Parameters
    ----------
    frame
        One row a word (or a single rating, with ``trials=True``): a column of words and one of means for each target,
        with their SD and number of raters where these are known.
    name
        What results call the norms.
    given
        As in `load_norms`: what the columns do not say, such as ``language`` and ``scale``.

    Raises
    ------
    OpenQuestion, EmospaceError
        As `load_norms`.
    """
    source = f"table '{name}'"
    card = checked({key: value for key, value in given.items() if value is not None}, source)
    return read_norms([Grid.from_frame(source, frame)], card, name, source)


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


def norms_for(language: str, given: str | None = None) -> WordNorms | None:
    """Return the norms of a name or file, else the first bundled ones of a language, None where there are none.

    Parameters
    ----------
    language
        Of the words to be rated; not used where norms are named.
    given
        As `load_norms` takes it.
    """
    for name in [given] if given else default_norms(language)[:1]:
        return load_norms(name)
    return None


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
    path_hint = "" if error.hint.startswith("Did") else " Or give the path of a ratings file."
    raise EmospaceError(error.what, error.why, error.hint + path_hint)


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


def _scale_text(scales: Mapping[str, Sequence[float]]) -> str:
    texts = {target: f"{low:g}..{high:g}" for target, (low, high) in scales.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return ", ".join(f"{target} {text}" for target, text in texts.items())
