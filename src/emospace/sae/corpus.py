"""Running text for training: files of any common kind become shuffled windows of token ids."""

from __future__ import annotations

import csv
import lzma
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from emospace.errors import EmospaceError, InvalidInput, first_line

if TYPE_CHECKING:
    import pandas as pd

    from emospace.models import LanguageModel

WINDOW = (12, 128)
"""Shortest and longest window in tokens: word carriers are short, stories are long, both are to be covered."""


@dataclass(frozen=True)
class Corpus:
    """Texts with the share of the training tokens they are to make up.

    Attributes
    ----------
    name
        What the autoencoder's card calls it.
    texts
        One document or paragraph each.
    share
        Part of all tokens; shares are normalised to sum to one.
    """

    name: str
    texts: Sequence[str]
    share: float = 1.0


def read_texts(path: Path, column: str = "text", limit_bytes: int | None = None) -> list[str]:
    """Return the texts of a ``.txt``, ``.txt.xz`` (one a line), ``.tsv``/``.csv`` or ``.parquet`` file.

    Parameters
    ----------
    path
        UTF-8 text with a document or paragraph a line, or a table with one a row. Empty lines and cells are left out.
    column
        Name of a table's column, or its number from 1 on where the file has no header line: then the first line is
        a text as well.
    limit_bytes
        Where to stop reading a text file, in characters of text; None reads the whole.

    Raises
    ------
    EmospaceError
        If the file is not there, of an unknown kind, or has no such column.
    """
    if not path.is_file():
        raise EmospaceError(f"corpus '{path}'", "there is no such file", "Check the path.")
    if path.suffix in {".txt", ".xz"}:
        try:
            return _read_lines(path, limit_bytes)
        except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
            raise _unreadable(path, error) from error
    frame = _read_table(path, None if column.isdigit() else "infer")
    names = [str(name) for name in frame.columns]
    if column.isdigit() and 1 <= int(column) <= len(names):
        column = names[int(column) - 1]
    if column not in names:
        first = ", ".join(names) if not column.isdigit() else f"1 to {len(names)}"
        raise EmospaceError(
            f"corpus '{path}'",
            f"it has no column '{column}'. Columns: {first}",
            "Name the one with the text (`emospace sae train --column`), or give its number from 1 on if the file has no "
            "header line.",
        )
    return [text for text in frame.iloc[:, names.index(column)].astype(str) if text.strip()]


def _read_lines(path: Path, limit: int | None) -> list[str]:
    texts, size = [], 0
    with (
        lzma.open(path, "rt", encoding="utf-8")
        if path.suffix == ".xz"
        else path.open(encoding="utf-8") as file
    ):
        for line in file:
            size += len(line)
            if limit is not None and size > limit:
                break
            if line.strip():
                texts.append(line.strip())
    return texts


def _unreadable(path: Path, error: Exception) -> InvalidInput:
    return InvalidInput(
        f"corpus '{path}'", f"it cannot be read ({first_line(error)})", "Give a whole file, in UTF-8."
    )


def _read_table(path: Path, header: Literal["infer"] | None) -> pd.DataFrame:
    import pandas as pd

    if path.suffix == ".parquet":
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from error
    if path.suffix not in {".tsv", ".csv"}:
        raise EmospaceError(
            f"corpus '{path}'", "its kind is not known", "Give .txt, .txt.xz, .tsv, .csv or .parquet."
        )
    tabs = path.suffix == ".tsv"
    try:
        return pd.read_csv(
            path,
            sep="\t" if tabs else ",",
            header=header,
            keep_default_na=False,
            dtype=str,
            quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
        )
    except (OSError, ValueError) as error:
        raise EmospaceError(
            f"corpus '{path}'",
            f"it cannot be read as a table ({first_line(error)})",
            "Save it as .tsv or .csv in UTF-8, or give the texts alone as .txt, one a line.",
        ) from error


def token_windows(
    model: LanguageModel, corpora: Sequence[Corpus], n_tokens: int, seed: int
) -> list[tuple[int, ...]]:
    """Return shuffled windows of token ids that hold `n_tokens` tokens after each first one is left out.

    Each window begins with what the model expects before a text (`LanguageModel.start_ids`); its text starts at the
    beginning of a document or where the window before ended. Lengths are drawn log-uniformly from `WINDOW`.

    Raises
    ------
    EmospaceError
        If a corpus is too small for its share.
    """
    return [window for _, window in cut_windows(model, corpora, n_tokens, seed)]


def cut_windows(
    model: LanguageModel, corpora: Sequence[Corpus], n_tokens: int, seed: int
) -> list[tuple[str, tuple[int, ...]]]:
    """Return what `token_windows` does, each window with the name of its corpus."""
    rng = np.random.default_rng(seed)
    total = sum(corpus.share for corpus in corpora)
    windows: list[tuple[str, tuple[int, ...]]] = []
    for corpus in corpora:
        wanted, have = int(n_tokens * corpus.share / total), 0
        for window in _cut(model, corpus.texts, rng):
            if have >= wanted:
                break
            windows.append((corpus.name, window))
            have += len(window) - 1
        if have < wanted:
            raise EmospaceError(
                f"corpus '{corpus.name}'",
                f"it has {have:,} tokens where its share asks for {wanted:,}",
                "Lower its share or the number of tokens, or add text.",
            )
    rng.shuffle(windows)
    return windows


def _cut(model: LanguageModel, texts: Sequence[str], rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
    order = rng.permutation(len(texts))
    low, high = np.log(WINDOW[0]), np.log(WINDOW[1])
    start_ids = model.start_ids()[:1]
    for start in range(0, len(order), 512):
        chunk = [texts[index] for index in order[start : start + 512]]
        for ids in model.tokenizer(chunk, add_special_tokens=False)["input_ids"]:
            begin = 0
            while len(ids) - begin >= 4:
                length = int(np.exp(rng.uniform(low, high)))
                yield (*start_ids, *ids[begin : begin + length])
                begin += length
