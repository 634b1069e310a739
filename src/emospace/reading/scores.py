"""`Reading`: the scores of texts and of their tokens, as tables and files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emospace.artefacts import atomic_write, write_json, write_parquet
from emospace.concepts import unknown_category
from emospace.errors import InvalidInput, warn_of_rename

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

SUFFIXES = (".csv", ".json", ".parquet")


class TokenScores(NamedTuple):
    """Scores of one text's tokens.

    `tokens` as they stand in the text; `offsets` ``[n_tokens, 2]`` characters; `scores`
    ``[n_tokens, n_categories]`` z; `valence` and `arousal` ``[n_tokens]``.
    """

    tokens: tuple[str, ...]
    offsets: np.ndarray
    scores: np.ndarray
    valence: np.ndarray
    arousal: np.ndarray


@dataclass(frozen=True, eq=False)
class Reading:
    """What a model finds in texts.

    Attributes
    ----------
    texts
        As they were given.
    categories
        Emotion categories, the columns of `scores`.
    scores
        ``[n_texts, n_categories]`` in standard deviations above neutral reference text.
    valence, arousal
        ``[n_texts]``, points on the norms' -1..1 scale above neutral reference text; NaN where the reader's
        language has no norms.
    tokens
        One `TokenScores` a text.
    model, language
        Who read, and with which concepts.
    """

    texts: tuple[str, ...]
    categories: tuple[str, ...]
    scores: np.ndarray
    valence: np.ndarray
    arousal: np.ndarray
    tokens: tuple[TokenScores, ...]
    model: str = ""
    language: str = "en"

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.texts)

    def for_category(self, category: str) -> np.ndarray:
        """Return the scores of one category, ``[n_texts]``.

        Parameters
        ----------
        category
            One of `categories`.

        Raises
        ------
        EmospaceError
            If there is no such category.
        """
        if category not in self.categories:
            raise unknown_category(category, self.categories)
        return np.asarray(self.scores[:, self.categories.index(category)])

    def of(self, category: str) -> np.ndarray:
        """Do as `for_category`, the name it has now.

        Parameters
        ----------
        category
            As there.
        """
        warn_of_rename("Reading.of", "Reading.for_category")
        return self.for_category(category)

    def select(self, categories: Sequence[str]) -> Reading:
        """Return the reading of some categories, in the order given.

        Parameters
        ----------
        categories
            Some of `categories`; another one raises `EmospaceError`.
        """
        from dataclasses import replace

        for category in categories:
            self.for_category(category)
        at = [self.categories.index(category) for category in categories]
        return replace(
            self,
            categories=tuple(categories),
            scores=self.scores[:, at],
            tokens=tuple(tokens._replace(scores=tokens.scores[:, at]) for tokens in self.tokens),
        )

    def top(self, n: int = 3) -> list[list[tuple[str, float]]]:
        """Return the highest categories of each text with their scores, highest first.

        Parameters
        ----------
        n
            How many of each text.
        """
        order = np.argsort(-self.scores, axis=1, kind="stable")[:, :n]
        return [[(self.categories[j], float(self.scores[i, j])) for j in row] for i, row in enumerate(order)]

    @property
    def table(self) -> pd.DataFrame:
        """One row a text: ``text, n_tokens, valence, arousal`` and a column for each category."""
        import pandas as pd

        front = {
            "text": self.texts,
            "n_tokens": [len(tokens.tokens) for tokens in self.tokens],
            "valence": self.valence,
            "arousal": self.arousal,
        }
        return pd.DataFrame({**front, **dict(zip(self.categories, self.scores.T, strict=True))})

    @property
    def token_table(self) -> pd.DataFrame:
        """One row a token: ``text`` (its number, from 0), ``token, start, end, valence, arousal``, categories."""
        import pandas as pd

        parts = []
        for number, tokens in enumerate(self.tokens):
            front = {
                "text": number,
                "token": tokens.tokens,
                "start": tokens.offsets[:, 0],
                "end": tokens.offsets[:, 1],
                "valence": tokens.valence,
                "arousal": tokens.arousal,
            }
            parts.append(pd.DataFrame({**front, **dict(zip(self.categories, tokens.scores.T, strict=True))}))
        return pd.concat(parts, ignore_index=True)

    def save(self, path: Path, *, tokens: bool = False) -> None:
        """Write the table of texts (or of tokens) as ``.csv``, ``.json`` (a list of rows) or ``.parquet``.

        Parameters
        ----------
        path
            The file; its suffix decides the format.
        tokens
            Whether to write `token_table` in place of `table`.

        Raises
        ------
        EmospaceError
            If the suffix is none of these.
        """
        check_suffix(path)
        frame = self.token_table if tokens else self.table
        if path.suffix == ".parquet":
            write_parquet(path, frame)
        elif path.suffix == ".json":
            write_json(path, frame.to_dict(orient="records"))
        else:
            atomic_write(path, lambda place: frame.to_csv(place, index=False, float_format="%.6g"))


def check_suffix(path: Path) -> None:
    """Raise where a reading cannot be written under such a name."""
    if path.suffix not in SUFFIXES:
        raise InvalidInput(
            str(path), "a reading is not written as such a file", f"Name it {', '.join(SUFFIXES)}."
        )
