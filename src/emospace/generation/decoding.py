"""From the tokens of an answer to its text: a reasoning model's thought apart, and never half a character."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from emospace.models.loading import LanguageModel

OPEN, CLOSE = "<think>", "</think>"

UNFINISHED = "\ufffd"
"""What a decoder writes for the first bytes of a character."""


class Parts(NamedTuple):
    """A text, or a piece of one: the answer, and the thought before it.

    `retracts` says that all of the answer before this piece was the thought: it was closed without having been opened.
    """

    answer: str = ""
    reasoning: str = ""
    retracts: bool = False

    def then(self, more: Parts) -> Parts:
        """Return both pieces, one after the other."""
        if more.retracts:
            return Parts(more.answer, self.reasoning + self.answer + more.reasoning, retracts=True)
        return Parts(self.answer + more.answer, self.reasoning + more.reasoning, self.retracts)


EMPTY = Parts()


def decode(model: LanguageModel, tokens: Sequence[int] | np.ndarray) -> str:
    """Return the text of tokens, special ones left out."""
    ids = [int(token) for token in tokens]
    return str(model.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def opens_thought(model: LanguageModel, prompt: Sequence[int]) -> bool | None:
    """Return whether a prompt's token ids end in a thought that the answer goes on with, None for a base model.

    A base model's text is never parted: it has no thoughts of its own.
    """
    if not model.tokenizer.chat_template:
        return None
    end = model.tokenizer.decode(list(prompt[-8:]), skip_special_tokens=False)
    return str(end).rstrip().endswith(OPEN)


def split_reasoning(text: str, opened: bool | None = False) -> Parts:
    """Return the answer of a whole text and the thought in it; cut inside the thought the answer is empty.

    Parameters
    ----------
    opened
        Whether the prompt opened the thought; None to take the text as it is.
    """
    if opened is None:
        return Parts(text)
    before = text.partition(CLOSE)
    splitter = _Splitter(opened or bool(before[1] and OPEN not in before[0]))
    return splitter.push(text).then(splitter.close())


def answer_parts(model: LanguageModel, prompt: Sequence[int], answer: Sequence[int] | np.ndarray) -> Parts:
    """Return the text of an answer's tokens to a prompt's tokens, and the thought in it."""
    return split_reasoning(decode(model, answer), opens_thought(model, prompt))


class AnswerStream:
    """The text of an answer while its tokens come: never half a character, nothing of a stop text.

    The pieces that `push` and `close` return make up what `split_reasoning` gives of the whole text, however it was
    cut into tokens; where a piece retracts, what came before it is the thought.

    Parameters
    ----------
    opened
        Whether the prompt opened a thought; None to take the text as it is.
    stops
        Texts that end the answer, not the thought before it.

    Attributes
    ----------
    stopped
        Whether a stop text came; nothing more is to be pushed then.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        opened: bool | None = None,
        stops: Sequence[str] = (),
    ) -> None:
        self.stopped = False
        self._decode, self._stops = decode, tuple(stops)
        self._splitter = None if opened is None else _Splitter(opened)
        self._tokens: list[int] = []
        self._start = self._read = 0  # what is decoded begins at `start`; all before `read` was given out
        self._held = ""  # the end of the answer, which may be the beginning of a stop text

    def push(self, token: int) -> Parts:
        """Return what a token adds to the text, as far as it can be shown yet."""
        self._tokens.append(token)
        # A piece is decoded after the one before it: some tokenizers drop the space a text begins with.
        seen = self._decode(self._tokens[self._start : self._read])
        text = self._decode(self._tokens[self._start :])
        if len(text) <= len(seen) or text.endswith(UNFINISHED):
            return EMPTY
        self._start, self._read = self._read, len(self._tokens)
        return self._until_stop(self._parted(text[len(seen) :]))

    def close(self) -> Parts:
        """Return what is left when the answer ends."""
        if self.stopped:
            return EMPTY
        seen = self._decode(self._tokens[self._start : self._read])
        rest = self._parted(self._decode(self._tokens[self._start :])[len(seen) :])
        if self._splitter is not None:
            rest = rest.then(self._splitter.close())
        last = self._until_stop(rest)
        return last._replace(answer=last.answer + self._held)

    def _parted(self, piece: str) -> Parts:
        return Parts(piece) if self._splitter is None else self._splitter.push(piece)

    def _until_stop(self, piece: Parts) -> Parts:
        if piece.retracts:
            self._held = ""
        text = self._held + piece.answer
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.stopped, self._held = True, ""
            return piece._replace(answer=text[: min(places)])
        held = _overlap(text, self._stops)
        self._held = text[len(text) - held :]
        return piece._replace(answer=text[: len(text) - held])


class _Splitter:
    """Parts a text at the marks of thoughts; whitespace beside a mark belongs to neither side."""

    def __init__(self, inside: bool) -> None:
        self._inside = self._marked = inside
        self._fresh = True  # nothing but whitespace since the last mark
        self._reasoned = False
        self._space = ""  # whitespace that a mark may follow
        self._held = ""  # the end of the text, which may be the beginning of a mark

    def push(self, piece: str) -> Parts:
        parts, text = EMPTY, self._held + piece
        while marks := [(text.find(mark), mark) for mark in self._marks if mark in text]:
            place, mark = min(marks)
            parts = self._add(parts, text[:place])
            if mark == CLOSE and not self._inside:
                parts = Parts("", parts.reasoning + parts.answer, retracts=True)
                self._reasoned = True
            self._inside, self._marked, self._fresh, self._space = mark == OPEN, True, True, ""
            text = text[place + len(mark) :]
        held = _overlap(text, self._marks)
        self._held = text[len(text) - held :]
        return self._add(parts, text[: len(text) - held])

    def close(self) -> Parts:
        """Return what was held back."""
        parts = self._add(EMPTY, self._held)
        rest, self._held, self._space = self._space, "", ""
        return parts if self._inside else parts._replace(answer=parts.answer + rest)

    @property
    def _marks(self) -> tuple[str, ...]:
        return (CLOSE,) if self._inside else (OPEN, CLOSE)

    def _add(self, parts: Parts, text: str) -> Parts:
        """Return the parts so far and more text of the side that is being read."""
        text = self._space + text
        if self._fresh and self._marked:
            text = text.lstrip()
        shown = text.rstrip() if self._inside or (self._fresh and not text.strip()) else text
        self._space = text[len(shown) :]
        if not shown:
            return parts
        if self._inside and self._fresh and self._reasoned:
            shown = f"\n\n{shown}"
        self._fresh, self._reasoned = False, self._reasoned or self._inside
        if self._inside:
            return parts._replace(reasoning=parts.reasoning + shown)
        return parts._replace(answer=parts.answer + shown)


def _overlap(text: str, marks: Sequence[str]) -> int:
    """Return how many characters at the end of a text may be the beginning of a mark."""
    return max((n for mark in marks for n in range(1, len(mark)) if text.endswith(mark[:n])), default=0)
