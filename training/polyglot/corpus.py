"""The data mix: documents of six languages, deduplicated, a share held out, as tokens in memory-mapped files."""

from __future__ import annotations

import csv
import lzma
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizer import BOS_ID, EOS_ID

from emospace.artefacts import atomic_write, content_hash, read_json, write_json
from emospace.display import progress, say
from emospace.errors import EmospaceError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CORPORA: Mapping[str, str] = {
    "en": "en_fiction",
    "zh": "zh_prose",
    "ja": "ja_fiction",
    "fr": "fr_fiction",
    "de": "de_fiction",
    "es": "es_fiction",
}
PAIRS = "en-zh"
"""The stream of sentences beside their translation, the only bridge between two languages."""
SHARES: Mapping[str, float] = {
    "en": 0.29, "zh": 0.29, "ja": 0.10, "fr": 0.10, "de": 0.09, "es": 0.10, PAIRS: 0.03,
}  # fmt: skip
"""Share of each stream in the bytes trained on."""
HELD_OUT_PERCENT = 1
SAMPLE_BYTES = 24_000_000
"""Bytes of the sample a tokenizer is trained on."""
Documents = dict[str, list[str]]


def clean(text: str) -> str:
    """Return a text in NFC with single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def is_held_out(key: str) -> bool:
    """Return whether the document of this key is kept for measuring, by its hash alone."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") % 100 < HELD_OUT_PERCENT


def read_documents(data: Path) -> tuple[Documents, Documents, dict[str, dict[str, int]]]:
    """Read the corpora, the pairs and the labelled texts no judge uses.

    Returns
    -------
    train, held_out, counts
        Documents by stream, and what was read, repeated and kept of each.

    Raises
    ------
    EmospaceError
        If a file of `data` is missing.
    """
    sources: dict[str, Iterable[tuple[str, str]]] = {
        language: ((text, text) for text in _lines(data / "corpora" / f"{name}.txt.xz"))
        for language, name in CORPORA.items()
    }
    sources["en"] = [*sources["en"], *((text, text) for text in unused_labelled(data))]
    sources[PAIRS] = _pairs(data / "corpora" / "tatoeba_en_zh.tsv")
    train: Documents = {}
    held_out: Documents = {}
    counts = {}
    seen: set[bytes] = set()
    for stream, documents in sources.items():
        train[stream], held_out[stream] = [], []
        n_read = n_repeated = 0
        for key, text in documents:
            n_read += 1
            digest = blake2b(text.encode(), digest_size=12).digest()
            if not text or digest in seen:
                n_repeated += 1
                continue
            seen.add(digest)
            (held_out if is_held_out(key) else train)[stream].append(text)
        counts[stream] = {
            "read": n_read,
            "repeated": n_repeated,
            "train": len(train[stream]),
            "held_out": len(held_out[stream]),
        }
    return train, held_out, counts


def _lines(path: Path) -> Iterator[str]:
    if not path.exists():
        raise EmospaceError(str(path), "there is no such file", "Give the folder of docs/data.md as --data.")
    with lzma.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield clean(line)


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    """Yield every pair as one document, either language first; all translations of a sentence share its key."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if len(row) != 2:
                yield "", ""
                continue
            english, chinese = clean(row[0]), clean(row[1])
            first = blake2b(f"{english}\n{chinese}".encode(), digest_size=1).digest()[0] % 2
            yield english, f"{chinese}\n{english}" if first else f"{english}\n{chinese}"


def unused_labelled(data: Path) -> list[str]:
    """Return labelled texts no judge trains, calibrates or is measured on: BRIGHTER's unlabelled English test split.

    GoEmotions and XED are used whole; KOTE's Korean is not a language of the mix.
    """
    import pandas as pd

    from emospace.judges.corpus import read_corpus
    from emospace.judges.tokens import key_of

    used = {key_of(text) for text in read_corpus(data).texts}
    frame = pd.read_parquet(data / "texts/brighter_semeval2025/brighter_semeval2025.parquet")
    texts = frame[(frame["language"] == "en") & (frame["split"] == "test")]["text"]
    return [clean(text) for text in texts if key_of(text) not in used]


def balanced_sample(documents: Documents, n_bytes: int = SAMPLE_BYTES, seed: int = 0) -> list[str]:
    """Return documents of every stream, drawn without repetition, in the proportions of `SHARES` by bytes."""
    rng = np.random.default_rng(seed)
    sample = []
    for stream, texts in documents.items():
        left = n_bytes * SHARES[stream]
        for index in rng.permutation(len(texts)):
            if left <= 0:
                break
            sample.append(texts[index])
            left -= len(texts[index].encode())
    return sample


def write_tokens(
    folder: Path, tokenizer: Tokenizer, train: Documents, held_out: Documents, counts: dict[str, Any]
) -> None:
    """Write every stream as uint16 tokens, ``<s> document </s>`` after one another, and a card of their sizes."""
    card: dict[str, Any] = {"shares": SHARES, "held_out_percent": HELD_OUT_PERCENT, "streams": {}}
    for stream, texts in train.items():
        sizes: dict[str, Any] = dict(counts[stream])
        for part, documents in (("train", texts), ("held_out", held_out[stream])):
            pieces = [np.zeros(0, np.uint16)]
            with progress(f"tokens of {stream}, {part}", len(documents), "documents") as advance:
                for start in range(0, len(documents), 1000):
                    batch = documents[start : start + 1000]
                    found = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
                    pieces += [np.array([BOS_ID, *one.ids, EOS_ID], np.uint16) for one in found]
                    advance(len(batch))
            tokens = np.concatenate(pieces)
            atomic_write(folder / f"{stream}.{part}.bin", tokens.tofile)
            n_bytes = sum(len(text.encode()) for text in documents)
            sizes[f"{part}_tokens"], sizes[f"{part}_bytes"] = len(tokens), n_bytes
        card["streams"][stream] = sizes
        say(f"{stream}: {sizes}")
    write_json(folder / "card.json", card | {"identity": content_hash(card)})


@dataclass(frozen=True, eq=False)
class Mix:
    """Batches of the mix, each a function of its number alone: what a run has seen is its count of steps.

    Parameters
    ----------
    train, held_out
        Stream -> ``[n_tokens]`` uint16, memory-mapped.
    bytes_per_token
        Stream -> bytes of held-out text per held-out token.
    rows
        Stream -> rows of each batch.
    context
        Tokens predicted in a row.
    seed
        Order of the windows.
    """

    train: Mapping[str, np.ndarray]
    held_out: Mapping[str, np.ndarray]
    bytes_per_token: Mapping[str, float]
    rows: Mapping[str, int]
    context: int
    seed: int = 0

    def batch(self, step: int) -> np.ndarray:
        """Return the rows of a step, ``[batch, context + 1]`` int64; every row begins with ``<s>``."""
        rows = []
        for number, (stream, n_rows) in enumerate(self.rows.items()):
            tokens = self.train[stream]
            n_windows = (len(tokens) - self.context) // self.context
            for index in range(step * n_rows, (step + 1) * n_rows):
                epoch, place = divmod(index, n_windows)
                phase, order = _order(self.seed, number, epoch, n_windows, self.context)
                rows.append(self._row(tokens, int(order[place]) * self.context + phase))
        return np.stack(rows)

    def measured(self, stream: str, n_rows: int) -> np.ndarray:
        """Return evenly spaced held-out rows of a stream, ``[n_rows, context + 1]``, the same at every call."""
        tokens = self.held_out[stream]
        n_windows = max(1, (len(tokens) - 1) // self.context)
        places = np.linspace(0, n_windows - 1, min(n_rows, n_windows)).astype(int)
        return np.stack([self._row(tokens, place * self.context) for place in places])

    def _row(self, tokens: np.ndarray, start: int) -> np.ndarray:
        # A row that begins inside a document still begins as every text does in use.
        return np.concatenate([[BOS_ID], tokens[start : start + self.context]]).astype(np.int64)


@lru_cache(maxsize=32)
def _order(seed: int, stream: int, epoch: int, n_windows: int, context: int) -> tuple[int, np.ndarray]:
    rng = np.random.default_rng([seed, stream, epoch])
    return int(rng.integers(context)), rng.permutation(n_windows)


def open_mix(folder: Path, context: int, batch: int, seed: int = 0) -> Mix:
    """Map the files of `write_tokens`; a batch holds each stream by its share of bytes, at least one row."""
    streams = read_json(folder / "card.json")["streams"]
    arrays = {
        part: {stream: np.memmap(folder / f"{stream}.{part}.bin", np.uint16, "r") for stream in streams}
        for part in ("train", "held_out")
    }
    tokens = {stream: SHARES[stream] * s["train_tokens"] / s["train_bytes"] for stream, s in streams.items()}
    return Mix(
        arrays["train"],
        arrays["held_out"],
        {stream: s["held_out_bytes"] / s["held_out_tokens"] for stream, s in streams.items()},
        rows_of(tokens, batch),
        context,
        seed,
    )


def rows_of(weights: Mapping[str, float], batch: int) -> dict[str, int]:
    """Return whole rows in proportion to weights, by largest remainders, at least one each."""
    total = sum(weights.values())
    exact = {name: batch * weight / total for name, weight in weights.items()}
    rows = {name: max(1, int(share)) for name, share in exact.items()}
    while sum(rows.values()) != batch:
        step = 1 if sum(rows.values()) < batch else -1
        chosen = max(
            (name for name in rows if step > 0 or rows[name] > 1),
            key=lambda name: step * (exact[name] - rows[name]),
        )
        rows[chosen] += step
    return rows
