"""Which tokens of a word in its carrier, or of a text, are pooled; the first position never is."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emospace.errors import EmospaceError
from emospace.profiling import timed

if TYPE_CHECKING:
    from emospace.models import LanguageModel

log = logging.getLogger(__name__)


_CHUNK = 1024
"""Texts tokenised at a time: what a tokenizer says of a text is many times the size of its ids."""


@dataclass(frozen=True, slots=True)
class Span:
    """The token ids up to the end of what is pooled, and where the pooled tokens are: ``ids[start:]``."""

    ids: tuple[int, ...]
    start: int


@timed("tokenising")
def word_spans(model: LanguageModel, words: Sequence[str], carrier: str) -> list[Span]:
    """Tokenise the carrier up to the end of each word and find the tokens that overlap the word.

    What follows the word is cut off before tokenising, so that no piece reaches past the word's end. A piece
    that joins the word's beginning to what stands before it counts as the word's.
    """
    if carrier.count("{word}") != 1:
        raise EmospaceError(
            f"carrier '{carrier}'", "it must hold {word} exactly once", "For example: The word is {word}"
        )
    begin = carrier.index("{word}")
    spans: list[Span] = []
    empty: list[str] = []
    start_ids = model.start_ids()
    for word, (ids, offsets) in zip(words, _tokenise(model, words, carrier[:begin]), strict=True):
        end = begin + len(word)
        inside = [
            index for index, (low, high) in enumerate(offsets) if low < end and high > begin and low < high
        ]
        if not inside:
            empty.append(word)
            continue
        head = () if inside[0] else start_ids
        spans.append(Span((*head, *ids[: inside[-1] + 1]), inside[0] + len(head)))
    if empty:
        raise EmospaceError(
            f"{len(empty)} word(s), such as {', '.join(repr(word) for word in empty[:5])}",
            "the tokenizer makes nothing of them",
            "Leave them out, or use a model whose tokenizer knows the script.",
        )
    return spans


@timed("tokenising")
def text_spans(model: LanguageModel, texts: Sequence[str], max_tokens: int) -> list[Span]:
    """Tokenise texts; everything after the first position is pooled.

    Raises
    ------
    EmospaceError
        If a text has no tokens, or `max_tokens` leaves none behind the first position.
    """
    config = getattr(model.model.config, "text_config", model.model.config)
    limit = min(max_tokens, getattr(config, "max_position_embeddings", None) or max_tokens)
    if limit < 2:
        raise EmospaceError(
            f"max_tokens {max_tokens}", "the first position is never pooled", "Allow 2 tokens or more."
        )
    start_ids = model.start_ids()
    spans, cut = [], 0
    for text, (ids, offsets) in zip(texts, _tokenise(model, texts), strict=True):
        n_ids = max((index + 1 for index, (low, high) in enumerate(offsets) if low < high), default=0)
        if not n_ids:
            raise EmospaceError(f"text {text!r}", "the tokenizer makes nothing of it", "Leave it out.")
        ids = ids[:n_ids] if ids[0] == start_ids[0] and n_ids > 1 else (*start_ids, *ids[:n_ids])
        cut += len(ids) > limit
        spans.append(Span(ids[:limit], 1))
    if cut:
        log.warning("%d of %d texts were cut after %d tokens", cut, len(texts), limit)
    return spans


def _tokenise(
    model: LanguageModel, texts: Sequence[str], before: str = ""
) -> Iterator[tuple[tuple[int, ...], list[tuple[int, int]]]]:
    """Yield ids and character offsets of each text behind `before`, with the tokenizer's own special tokens."""
    if not model.tokenizer.is_fast:
        raise EmospaceError(
            f"tokenizer of '{model.name}'",
            "it gives no character offsets",
            "Use the model's fast tokenizer (tokenizer.json).",
        )
    known: dict[int, int] = {}
    for low in range(0, len(texts), _CHUNK):
        chunk = [before + text for text in texts[low : low + _CHUNK]]
        encoded = model.tokenizer(chunk, return_offsets_mapping=True, return_attention_mask=False)
        for ids, offsets in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
            # The same numbers in all texts, not a copy in each: half the memory of very many words.
            yield tuple(known.setdefault(id_, id_) for id_ in ids), offsets
