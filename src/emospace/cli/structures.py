"""`emospace structures`: the bundled category structures, and how a file of one's own is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emospace.cli.norms import on_terminal
from emospace.cli.options import takes
from emospace.display import say, table
from emospace.errors import EmospaceError, unknown
from emospace.specs.base import option
from emospace.specs.structures import StructureCard

if TYPE_CHECKING:
    from emospace.structure import CategoryStructure

app = typer.Typer(no_args_is_help=True, help="Category structures: list, import.")

CLOSEST = 10


class ImportSpec(StructureCard):
    """A file of a structure whose card is to be written."""

    file: Annotated[Path, option(..., "A table of how similar people find categories.", argument="FILE")]
    categories: str = option("all", "all, basic, paper26, goemotions, or a file with a name a line.")


@app.command("list")
def list_bundled() -> None:
    """Show the bundled structures with their licences."""
    from emospace.structure import list_structures

    bundled = list_structures()
    table("Bundled category structures", list(bundled.columns), bundled.itertuples(index=False))


@app.command("import")
@takes(ImportSpec, config=False)
def import_file(spec: ImportSpec) -> None:
    """Find out how a file is to be read, ask what it does not say, and write that beside it as FILE.toml.

    Nothing else is written. Afterwards `emospace study --structure FILE` needs no more options.
    """
    from emospace.concepts import categories
    from emospace.norms import OpenQuestion
    from emospace.structure import structure_from_file, write_structure_card

    known = [category.name for category in categories(spec.categories)]
    given = StructureCard(**spec.model_dump(include=set(StructureCard.model_fields)))
    while True:
        try:
            structure, card = structure_from_file(spec.file, given, known=known)
            break
        except EmospaceError as error:
            if not isinstance(error, OpenQuestion) or not on_terminal():
                raise
            given = _answered(given, error.key, error.choices, error.why)
    show(structure, known)
    say(f"Wrote {write_structure_card(spec.file, card)}.")
    say(f"Now: emospace study --structure {spec.file}")


def show(structure: CategoryStructure, known: list[str]) -> None:
    """Write how a structure was read: its categories, the pairs that are most alike and least, and its reliability."""
    shared = [name for name in structure.categories if name in known]
    other = [name for name in structure.categories if name not in known]
    facts: list[tuple[str, object]] = [
        ("name", structure.name),
        ("language", structure.language),
        ("kind", structure.kind),
        ("categories", len(structure.categories)),
        ("of these ours", ", ".join(shared)),
        ("not compared", ", ".join(other)),
        ("texts or people", structure.n_items),
        ("licence", structure.licence),
        ("citation", structure.citation),
    ]
    half = structure.select(shared).split_half()
    if half is not None:
        facts.append(("split-half reliability", f"{half.value:.2f} ({half.low:.2f} to {half.high:.2f})"))
    table(structure.name, ("what", "value"), [(what, value) for what, value in facts if value])
    pairs = [
        (a, b, float(structure.similarity[i, j]))
        for i, a in enumerate(structure.categories)
        for j, b in enumerate(structure.categories[:i])
    ]
    pairs = sorted((pair for pair in pairs if pair[2] == pair[2]), key=lambda pair: -pair[2])
    shown = pairs if len(pairs) <= 2 * CLOSEST else pairs[:CLOSEST] + pairs[-CLOSEST:]
    table("Most alike, and least", ("category", "category", "similarity"), shown)


def _answered(card: StructureCard, key: str, choices: tuple[str, ...], why: str) -> StructureCard:
    """Ask one thing and return the card with the answer."""
    say(f"{why}.")
    shown = f" ({', '.join(choices)})" if choices else ""
    answer = str(typer.prompt(f"{key}{shown}", err=True)).strip()
    if choices and answer not in choices:
        say(str(unknown(key, answer, choices)))
        return card
    return card.model_copy(update={key: int(answer) if key == "n_items" and answer.isdigit() else answer})
