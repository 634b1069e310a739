"""`emospace norms`: the bundled word ratings, and how a file of one's own is read."""

from __future__ import annotations

from typing import Annotated

import typer

from emospace.cli.options import split
from emospace.display import say, table
from emospace.errors import EmospaceError

app = typer.Typer(no_args_is_help=True, help="Word norms: list, check.")


@app.command("list")
def list_sets(
    languages: Annotated[list[str] | None, typer.Option(help="Comma-separated or repeated.")] = None,
) -> None:
    """Show the bundled norms with their licences."""
    from emospace.norms import list_norms

    found = list_norms()
    wanted = split(languages or ())
    if wanted:
        found = found[found["language"].isin(wanted)]
    if found.empty:
        raise EmospaceError(
            f"--languages {','.join(wanted)}",
            "no norms in these languages are bundled",
            "Give `emospace study --norms` the path of a ratings file.",
        )
    columns = ["name", "language", "words", "targets", "scale", "licence", "note"]
    table("Bundled norms", columns, found[columns].itertuples(index=False))


@app.command()
def check(
    norms: Annotated[str, typer.Argument(help="A bundled set or a file of ratings.")],
    language: Annotated[str | None, typer.Option(help="Language of the words.")] = None,
    scale: Annotated[
        str | None, typer.Option(metavar="LOW,HIGH", help="Lowest and highest answer, as 1,9.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=HEADER",
            help="Where no layout fits: word=Wort, valence=..., arousal=...; repeatable.",
        ),
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Encoding, where the detected one is wrong.")] = None,
    sheet: Annotated[str | None, typer.Option(help="Sheet of a workbook.")] = None,
) -> None:
    """Read a set as a study would and say how it was read and what is odd in it."""
    from emospace.norms import check_norms, load_norms

    read = load_norms(
        norms,
        language=language,
        scale=_scale(scale),
        columns=dict(_column(given) for given in column) if column else None,
        encoding=encoding,
        sheet=sheet,
    )
    facts = {"name": read.name, "language": read.language, "words": len(read), "licence": read.licence}
    facts |= {"citation": read.citation, "note": read.note, "rows left out": len(read.rejected)}
    facts |= {key: value for key, value in read.reading.items() if key in ("layout", "encoding", "separator")}
    table(
        norms, ("what", "value"), [(key, repr(v) if v == "\t" else v) for key, v in facts.items() if v != ""]
    )
    rows = []
    for target in read.targets:
        low, high = read.scales[target]
        ratings = read.ratings(target)
        rows.append(
            (
                target,
                f"{low:g} to {high:g}",
                float(ratings.mean()),
                float(ratings.std()),
                read.reliability(target),
                read.ceiling(target),
            )
        )
    table("Ratings", ("target", "scale", "mean", "SD", "reliability", "highest r"), rows)
    found = check_norms(read)
    if len(found):
        table("Findings", list(found.columns), found.itertuples(index=False))
    if len(read.rejected):
        table("Rows left out", list(read.rejected.columns), read.rejected.head(20).itertuples(index=False))
        if len(read.rejected) > 20:
            say(f"... and {len(read.rejected) - 20} more")


def _scale(given: str | None) -> tuple[float, float] | None:
    if given is None:
        return None
    try:
        low, high = (float(end) for end in given.split(","))
    except ValueError as error:
        raise EmospaceError(
            f"--scale {given}", "it is not two numbers", "Write the lowest and highest answer: --scale 1,9."
        ) from error
    return low, high


def _column(given: str) -> tuple[str, str]:
    key, equals, header = given.partition("=")
    if not equals:
        raise EmospaceError(f"--column {given}", "it has no '='", "Write --column word=HEADER.")
    return key.strip(), header.strip()
