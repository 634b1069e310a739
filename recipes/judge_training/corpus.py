"""The labelled texts the embedded judges learn from: three sources in one table, split so that nothing leaks.

GoEmotions and BRIGHTER keep their published splits; XED is split by a hash of the text. A text that occurs in a
test split, in any source, is out of everything else; the training texts fall into two halves by the same hash, one
half a judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emospace.judges.judgement import BASIC_SEVEN
from emospace.judges.tokens import words_of
from emospace.specs import BASIC

if TYPE_CHECKING:
    import pandas as pd

GOEMOTIONS = (
    "admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire",
    "disappointment", "disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy",
    "love", "nervousness", "optimism", "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral",
)  # fmt: skip
XED = ("anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust")
TEST_PERCENT, DEV_PERCENT = 12, 5
NEUTRAL = BASIC_SEVEN.index("neutral")


@dataclass(frozen=True, eq=False)
class Corpus:
    """Labelled texts.

    Parameters
    ----------
    texts, language, source, part
        ``[n_texts]``; source is ``goemotions``, ``brighter``, ``xed`` or ``xed projected``, part ``train``, ``dev``
        or ``test``.
    half
        ``[n_texts]`` 0 or 1, by a hash of the text.
    fine
        ``[n_texts, 28]`` marks of `GOEMOTIONS`, NaN where unknown.
    basic
        ``[n_texts, 6]`` marks of `BASIC`, NaN where unknown.
    seven
        ``[n_texts]`` the one class of `BASIC_SEVEN` a text carries, -1 where it carries several or others.
    """

    texts: np.ndarray
    language: np.ndarray
    source: np.ndarray
    part: np.ndarray
    half: np.ndarray
    fine: np.ndarray
    basic: np.ndarray
    seven: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def where(self, keep: np.ndarray) -> Corpus:
        """Return the texts of a mask ``[n_texts]``."""
        return replace(self, **{name: value[keep] for name, value in vars(self).items()})


def read_corpus(data: Path) -> Corpus:
    """Read GoEmotions, BRIGHTER and XED from the data folder of ``docs/data.md``."""
    import pandas as pd

    tables = [_goemotions(data), _brighter(data), _xed(data)]
    table = pd.concat(tables, ignore_index=True)
    table["key"] = table["text"].map(key_of)
    digest = _digests(table["key"].tolist())
    table["half"] = digest // 100 % 2
    by_hash = np.select(
        [digest % 100 < TEST_PERCENT, digest % 100 < TEST_PERCENT + DEV_PERCENT], ["test", "dev"], "train"
    )
    table["part"] = table["part"].fillna(pd.Series(by_hash, index=table.index))
    in_test = table["key"].isin(set(table.loc[table["part"] == "test", "key"]))
    in_dev = table["key"].isin(set(table.loc[table["part"] == "dev", "key"]))
    leaks = (in_test & (table["part"] != "test")) | (in_dev & (table["part"] == "train"))
    copies = table.duplicated(["key", "language", "part"])
    unknown = table[list(BASIC)].isna().all(axis=1)
    table = table[~leaks & ~copies & ~unknown].reset_index(drop=True)
    fine = [f"fine_{label}" for label in GOEMOTIONS]
    texts, language, source, part = (
        table[name].to_numpy(object) for name in ("text", "language", "source", "part")
    )
    return Corpus(
        texts,
        language,
        source,
        part,
        half=table["half"].to_numpy(int),
        fine=table[fine].to_numpy(np.float32),
        basic=table[list(BASIC)].to_numpy(np.float32),
        seven=table["seven"].to_numpy(int),
    )


def _goemotions(data: Path) -> pd.DataFrame:
    import pandas as pd

    frame = pd.read_parquet(data / "structure/goemotions/goemotions.parquet")
    table = frame[["text", *BASIC]].assign(language="en", source="goemotions", part=frame["split"])
    marks = frame[list(GOEMOTIONS)]
    table[[f"fine_{label}" for label in GOEMOTIONS]] = marks.to_numpy(np.float32)
    seven = frame[list(BASIC_SEVEN)].to_numpy()
    # In training, a text may carry a finer emotion beside its one basic emotion; in tests it may not.
    alone = (seven.sum(axis=1) == 1) & (
        (marks.sum(axis=1) == 1) | ((frame["split"] == "train") & (frame["neutral"] == 0))
    )
    return table.assign(seven=np.where(alone, seven.argmax(axis=1), -1))


def _brighter(data: Path) -> pd.DataFrame:
    import pandas as pd

    frame = pd.read_parquet(data / "texts/brighter_semeval2025/brighter_semeval2025.parquet")
    table = frame[["text", *BASIC, "language"]].assign(source="brighter", part=frame["split"])
    marks = frame[list(BASIC)].to_numpy(float)
    total, unknown = np.nansum(marks, axis=1), np.isnan(marks).sum(axis=1)
    single = (total == 1) & (unknown <= 1)
    neutral = (total == 0) & (unknown == 0)
    seven = np.where(single, np.nan_to_num(marks).argmax(axis=1), np.where(neutral, NEUTRAL, -1))
    return table.assign(seven=seven)


def _xed(data: Path) -> pd.DataFrame:
    import pandas as pd

    frame = pd.read_parquet(data / "texts/xed/xed.parquet").sort_values("kind", kind="stable")
    source = np.where(frame["kind"] == "annotated", "xed", "xed projected")
    table = frame[["text", *BASIC, "language"]].assign(source=source, part=None)
    marks = frame[list(BASIC)].to_numpy()
    single = (frame[list(XED)].sum(axis=1).to_numpy() == 1) & (marks.sum(axis=1) == 1)
    return table.assign(seven=np.where(single, marks.argmax(axis=1), -1))


def key_of(text: str) -> str:
    """Return what two copies of one text share: its words without signs, else the text itself."""
    words = (word for word in words_of(text) if any(sign.isalnum() for sign in word))
    return " ".join(words) or text.strip()


def _digests(keys: Sequence[str]) -> np.ndarray:
    from hashlib import blake2b

    return np.array([int.from_bytes(blake2b(key.encode(), digest_size=6).digest(), "big") for key in keys])
