"""From tokens to text, piece by piece: never half a character, nothing of a stop text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

UNFINISHED = "\ufffd"
"""What a decoder writes for the first bytes of a character."""


class Text:
    """The text of an answer while its tokens come.

    The pieces that `push` and `close` return make up the whole text, however it was cut into tokens.

    Attributes
    ----------
    stopped
        Whether a stop text came; nothing more is to be pushed then.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stops: Sequence[str] = ()) -> None:
        self.stopped = False
        self._decode, self._stops = decode, tuple(stops)
        self._tokens: list[int] = []
        self._start = self._read = 0  # what is decoded begins at `start`; all before `read` was given out
        self._held = ""

    def push(self, token: int) -> str:
        """Return what a token adds to the text, as far as it can be shown yet."""
        self._tokens.append(token)
        # A piece is decoded after the one before it: some tokenizers drop the space a text begins with.
        seen = self._decode(self._tokens[self._start : self._read])
        text = self._decode(self._tokens[self._start :])
        if len(text) <= len(seen) or text.endswith(UNFINISHED):
            return ""
        self._start, self._read = self._read, len(self._tokens)
        return self._without_stops(text[len(seen) :])

    def close(self) -> str:
        """Return what is left when the answer ends."""
        if self.stopped:
            return ""
        seen = self._decode(self._tokens[self._start : self._read])
        piece = self._without_stops(self._decode(self._tokens[self._start :])[len(seen) :])
        piece, self._held = piece + self._held, ""
        return piece

    def _without_stops(self, piece: str) -> str:
        text = self._held + piece
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.stopped, self._held = True, ""
            return text[: min(places)]
        # The end of the text may be the beginning of a stop text.
        held = max(
            (n for stop in self._stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0
        )
        self._held = text[len(text) - held :]
        return text[: len(text) - held]
