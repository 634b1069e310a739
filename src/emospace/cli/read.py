"""`emospace read`: category scores, valence and arousal of a file's texts, lines or tokens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from emospace.cli.options import takes
from emospace.display import say, shows_colour, table, written
from emospace.errors import DiskError, InvalidInput
from emospace.specs import ReadSpec

if TYPE_CHECKING:
    from emospace.reading import Reading, TokenScores


@takes(ReadSpec)
def read(spec: ReadSpec) -> None:
    """Read texts: emotion categories (z over neutral text), valence and arousal."""
    from emospace.models import load_model
    from emospace.reading import load_reader
    from emospace.reading.scores import check_suffix

    if spec.out is not None:
        check_suffix(spec.out)
    texts = file_texts(spec.file, spec.by)
    model = load_model(spec.model, **spec.loading)
    reading = load_reader(model, language=spec.language, sae=spec.sae, concepts=spec.concepts).read(texts)
    if spec.categories:
        reading = reading.select(spec.categories)
    show(reading, spec.by, len(spec.categories) or spec.top)
    if spec.out is not None:
        reading.save(spec.out, tokens=spec.by == "token")
        written("Written", spec.out)


def file_texts(file: Path, by: str) -> list[str]:
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
        raise DiskError(
            name, f"it cannot be read ({error.strerror})", "Give a text file, or - for standard input."
        ) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(name, "it is no UTF-8 text", "Give a text file, saved as UTF-8.") from error
    if "\0" in text:
        raise InvalidInput(name, "it is a binary file", "Give a text file, saved as UTF-8.")
    if not text.strip():
        raise InvalidInput(name, "it holds no text", "Give a file with at least one word.")
    if by != "line":
        return [text.strip()]
    lines = text.splitlines()
    kept = [line.strip() for line in lines if line.strip()]
    if len(kept) < len(lines):
        say(f"{len(lines) - len(kept)} blank lines left out.")
    return kept


def show(reading: Reading, by: str, top: int) -> None:
    """Print a reading: one row a text or token, its highest categories with their z."""
    if by == "token":
        for text in reading.tokens:
            coloured(text)
            table(
                f"Read by {reading.model}",
                ("token", "valence", "arousal", "highest categories"),
                _token_rows(reading, text, top),
            )
        return
    rows = [
        (_short(text), float(valence), float(arousal), _named(best))
        for text, valence, arousal, best in zip(
            reading.texts, reading.valence, reading.arousal, reading.top(top), strict=True
        )
    ]
    table(f"Read by {reading.model}", ("text", "valence", "arousal", "highest categories"), rows)


def coloured(text: TokenScores) -> None:
    """Print the text with its tokens coloured by valence, green above and red below; on a terminal alone."""
    if not shows_colour():
        return
    from rich.console import Console
    from rich.text import Text

    shown, end = Text(), 0
    for token, (low, high), valence in zip(text.tokens, text.offsets, text.valence, strict=True):
        strength = int(min(abs(float(valence)) / 0.5, 1.0) * 200) if valence == valence else 0
        rest = 255 - strength
        shown.append(
            token[max(0, end - int(low)) :],
            f"rgb({rest},255,{rest})" if valence > 0 else f"rgb(255,{rest},{rest})",
        )
        end = int(high)
    Console().print(shown)


def _token_rows(reading: Reading, text: TokenScores, top: int) -> Iterator[tuple[object, ...]]:
    for token, scores, valence, arousal in zip(
        text.tokens, text.scores, text.valence, text.arousal, strict=True
    ):
        order = (-scores).argsort(kind="stable")[:top]
        best = [(reading.categories[index], float(scores[index])) for index in order]
        yield token.strip() or repr(token), float(valence), float(arousal), _named(best)


def _named(best: list[tuple[str, float]]) -> str:
    return ", ".join(f"{category} {score:+.1f}" for category, score in best)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
