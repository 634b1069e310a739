"""Words of any script and their hashed pieces: what both embedded judges read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np

LONGEST = 256
GRAMS = (3, 4)
# What GoEmotions wrote over names and BRIGHTER over accounts and links, and what stands for a masked word.
PLACEHOLDER = re.compile(r"\[(?:name|religion)\]|@<?\w+>?|https?://\S+|<url>|…", re.IGNORECASE)
# Scripts without spaces go by character; a mark is one token, a run of it two at most.
SIGN = r"!-&(-/:-@\[-`{-~\u00a1-\u00bf\u2010-\u205f\u3001-\u303f\u060c\u061b\u061f\u0964\u0965\u1361-\u1368"
SINGLE = r"\u3040-\u30ff\u3400-\u9fff\u2600-\u27bf\U0001f000-\U0001faff"
TOKEN = re.compile(rf"[{SINGLE}]|([{SIGN}])\1?|[^\s{SIGN}{SINGLE}]+")
SIGN_RUN = re.compile(rf"([{SIGN}])\1\1+")


def words_of(text: str) -> list[str]:
    """Return the first `LONGEST` words and signs of a text, in lower case."""
    text = unicodedata.normalize("NFKC", PLACEHOLDER.sub(" ", text)).casefold().replace("\u2019", "'")
    return [match.group() for match in TOKEN.finditer(SIGN_RUN.sub(r"\1\1", text))][:LONGEST]


def pieces_of(word: str) -> list[int]:
    """Return 32-bit hashes of a word and of its character 3- and 4-grams, the word first."""
    marked = f"<{word[:40]}>"
    grams = {marked[i : i + n] for n in GRAMS for i in range(len(marked) - n + 1)} - {marked}
    return [crc32(b"=" + word.encode()), *sorted(crc32(gram.encode()) for gram in grams)]


class Tokens(NamedTuple):
    """Texts as words, words as pieces; both ragged: flat values and where each item starts.

    Parameters
    ----------
    words
        ``[n_tokens]`` numbers of words.
    starts
        ``[n_texts + 1]`` into `words`.
    pieces
        ``[n_pieces]`` 32-bit hashes, of each word its own hash first.
    piece_starts
        ``[n_words + 1]`` into `pieces`.
    """

    words: np.ndarray
    starts: np.ndarray
    pieces: np.ndarray
    piece_starts: np.ndarray


def tokenise(texts: Sequence[str]) -> Tokens:
    """Return the words and pieces of texts; a text without a word gets the empty word."""
    number: dict[str, int] = {}
    lists = [[number.setdefault(word, len(number)) for word in words_of(text) or [""]] for text in texts]
    pieces = [pieces_of(word) for word in number]
    return Tokens(*_flat(lists), *_flat(pieces))


def _flat(lists: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    starts = np.concatenate([[0], np.cumsum([len(items) for items in lists], dtype=np.int64)])
    return np.array([item for items in lists for item in items], dtype=np.int64), starts.astype(np.int64)


def gather(flat: np.ndarray, starts: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of some items of a ragged array, one after another, and their lengths ``[n_items]``."""
    lengths = starts[items + 1] - starts[items]
    begin = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return flat[np.repeat(starts[items] - begin, lengths) + np.arange(lengths.sum())], lengths


def pair_hashes(hashes: np.ndarray) -> np.ndarray:
    """Return 32-bit hashes ``[n_tokens - 1]`` of neighbouring words, from the hashes of the words."""
    pairs = (hashes[:-1] * 0x9E3779B1 + hashes[1:]) & 0xFFFFFFFF
    return np.asarray(pairs ^ (pairs >> 15))


def features(tokens: Tokens, words: np.ndarray, lengths: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return hashed pieces and word pairs of texts, ``[n_features]`` in 0..n-1, and their number per text.

    Parameters
    ----------
    words
        ``[n_tokens]`` numbers of words, text after text.
    lengths
        ``[n_texts]`` words of each.
    """
    owner = np.repeat(np.arange(len(lengths)), lengths)
    pieces, counts = gather(tokens.pieces, tokens.piece_starts, words)
    whole = tokens.pieces[tokens.piece_starts[words]]
    pair = owner[1:] == owner[:-1]
    text = np.concatenate([np.repeat(owner, counts), owner[1:][pair]])
    hashes = np.concatenate([pieces, pair_hashes(whole)[pair]])
    order = np.argsort(text, kind="stable")
    return hashes[order] % n, np.bincount(text, minlength=len(lengths))
