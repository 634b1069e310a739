"""`emospace read`: category scores, valence and arousal of a file's texts, lines or tokens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emospace.cli.options import REVISION, split
from emospace.display import say, table
from emospace.errors import EmospaceError

if TYPE_CHECKING:
    from emospace.reading import Reading, TokenScores


class By(StrEnum):
    """What a row of the output is."""

    text = "text"
    line = "line"
    token = "token"


def read(
    file: Annotated[Path, typer.Argument(help="A UTF-8 text file; - reads standard input.")],
    model: Annotated[
        str, typer.Option(help="embedded (SmolLM2-135M-Instruct), a hub id, a folder or a GGUF file.")
    ] = "embedded",
    revision: Annotated[str | None, typer.Option(help=REVISION)] = None,
    by: Annotated[
        By, typer.Option(help="text: the file as one; line: each line; token: each token.")
    ] = By.line,
    out: Annotated[Path | None, typer.Option(help="Also write the scores: .csv, .json or .parquet.")] = None,
    categories: Annotated[
        list[str] | None, typer.Option(help="Comma-separated or repeated; without it the highest are shown.")
    ] = None,
    language: Annotated[str, typer.Option(help="Whose concept-sets and norms are used.")] = "en",
    sae: Annotated[
        str, typer.Option(help="auto (the shipped one, else none), none, a folder, or release:id.")
    ] = "auto",
    top: Annotated[int, typer.Option(min=1, help="How many categories are shown.")] = 3,
) -> None:
    """Read texts: emotion categories (z over neutral text), valence and arousal."""
    from emospace.reading import load_reader
    from emospace.reading.scores import check_suffix

    if out is not None:
        check_suffix(out)
    texts = file_texts(file, by)
    wanted = split(categories or ())
    reading = load_reader(model, language=language, sae=sae, revision=revision).read(texts)
    if wanted:
        reading = reading.select(wanted)
    show(reading, by, len(wanted) or top)
    if out is not None:
        reading.save(out, tokens=by is By.token)
        say(f"Written: {out}")


def file_texts(file: Path, by: By) -> list[str]:
    """Return the texts of a file: all of it, or its lines; blank lines are left out and counted.

    Raises
    ------
    EmospaceError
        If it is not there, is no UTF-8 text, or holds nothing.
    """
    name = "standard input" if str(file) == "-" else str(file)
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise EmospaceError(
            name, f"it cannot be read ({error.strerror})", "Give a text file, or - for standard input."
        ) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EmospaceError(name, "it is no UTF-8 text", "Give a text file, saved as UTF-8.") from error
    if "\0" in text:
        raise EmospaceError(name, "it is a binary file", "Give a text file, saved as UTF-8.")
    if not text.strip():
        raise EmospaceError(name, "it holds no text", "Give a file with at least one word.")
    if by is not By.line:
        return [text.strip()]
    lines = text.splitlines()
    kept = [line.strip() for line in lines if line.strip()]
    if len(kept) < len(lines):
        say(f"{len(lines) - len(kept)} blank lines left out.")
    return kept


def show(reading: Reading, by: By, top: int) -> None:
    """Print a reading: one row a text or token, its highest categories with their z."""
    if by is By.token:
        for one in reading.tokens:
            coloured(one)
            table(
                f"Read by {reading.model}",
                ("token", "valence", "arousal", "highest categories"),
                _token_rows(reading, one, top),
            )
        return
    rows = [
        (_short(text), float(valence), float(arousal), _named(best))
        for text, valence, arousal, best in zip(
            reading.texts, reading.valence, reading.arousal, reading.top(top), strict=True
        )
    ]
    table(f"Read by {reading.model}", ("text", "valence", "arousal", "highest categories"), rows)


def coloured(one: TokenScores) -> None:
    """Print the text with its tokens coloured by valence, green above and red below; on a terminal alone."""
    if not sys.stdout.isatty():
        return
    from rich.console import Console
    from rich.text import Text

    shown, end = Text(), 0
    for token, (low, high), valence in zip(one.tokens, one.offsets, one.valence, strict=True):
        strength = int(min(abs(float(valence)) / 0.5, 1.0) * 200) if valence == valence else 0
        rest = 255 - strength
        shown.append(
            token[max(0, end - int(low)) :],
            f"rgb({rest},255,{rest})" if valence > 0 else f"rgb(255,{rest},{rest})",
        )
        end = int(high)
    Console().print(shown)


def _token_rows(reading: Reading, one: TokenScores, top: int) -> Iterator[tuple[object, ...]]:
    for token, scores, valence, arousal in zip(one.tokens, one.scores, one.valence, one.arousal, strict=True):
        order = (-scores).argsort(kind="stable")[:top]
        best = [(reading.categories[index], float(scores[index])) for index in order]
        yield token.strip() or repr(token), float(valence), float(arousal), _named(best)


def _named(best: list[tuple[str, float]]) -> str:
    return ", ".join(f"{category} {score:+.1f}" for category, score in best)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
