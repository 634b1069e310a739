"""What may be stated about a file of category similarities: options of a command, and keys of its card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from emospace.specs.base import Spec, option

Layout = Literal["matrix", "pairs", "items", "labels", "piles"]
Values = Literal["similarity", "distance", "counts"]

LAYOUTS: Mapping[str, str] = {
    "matrix": "a square table, the same categories in rows and columns",
    "pairs": "a row for each pair: two categories and a value",
    "items": "a row for each text or rater, a column for each category",
    "labels": "a row for each text, its categories in one cell",
    "piles": "a row for each thing that somebody put on a pile: person, category, pile",
}


class StructureCard(Spec):
    """What may be stated about a structure's file: options of the command line, and the keys of ``FILE.toml``."""

    language: str | None = option(
        None, "ISO 639-1 code of the texts or of the people who judged; multi: any language of a study."
    )
    layout: Layout | None = option(
        None, "; ".join(f"{name}: {text}" for name, text in LAYOUTS.items()) + ".", metavar="NAME"
    )
    values: Values | None = option(
        None, "What numbers of pairs are: similarity, distance, or counts (the diagonal: all of a category)."
    )
    n_items: int | None = option(None, "With counts: the texts or people they are over.", gt=0)
    names: dict[str, str] = option(
        {},
        "A category of the file and ours: Freude=joy; repeatable.",
        flag="--category",
        metavar="THEIRS=OURS",
    )
    name: str | None = option(None, "Name in results; else that of the file.")
    sheet: str | None = option(None, "Sheet of a workbook.")
    encoding: str | None = option(None, "Encoding, where the detected one is wrong.")
    licence: str = option("", "Licence of the file.")
    citation: str = option("", "Paper to cite.")
    note: str = option("", "Anything a reader of results should know.")

    def merged(self, later: StructureCard) -> StructureCard:
        """Return the card with what another states in place of it."""
        stated = later.model_dump(exclude_defaults=True)
        stated["names"] = {**self.names, **later.names}
        return self.model_copy(update=stated)
