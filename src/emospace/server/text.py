"""The text of an answer up to the first stop text, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from emospace.models.decoding import EMPTY, AnswerStream, Parts


class Text:
    """The text of an answer while its tokens come: never half a character, nothing of a stop text.

    A stop text ends the answer, not the thought before it.

    Attributes
    ----------
    stopped
        Whether a stop text came; nothing more is to be pushed then.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        stops: Sequence[str] = (),
        opened: bool | None = None,
    ) -> None:
        self.stopped = False
        self._stream, self._stops = AnswerStream(decode, opened), tuple(stops)
        self._held = ""

    def push(self, token: int) -> Parts:
        """Return what a token adds to the text, as far as it can be shown yet."""
        return self._without_stops(self._stream.push(token))

    def close(self) -> Parts:
        """Return what is left when the answer ends."""
        if self.stopped:
            return EMPTY
        last = self._without_stops(self._stream.close())
        rest, self._held = self._held, ""
        return last._replace(answer=last.answer + rest)

    def _without_stops(self, piece: Parts) -> Parts:
        if piece.retracts:
            self._held = ""
        text = self._held + piece.answer
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.stopped, self._held = True, ""
            return piece._replace(answer=text[: min(places)])
        # The end of the text may be the beginning of a stop text.
        held = max(
            (n for stop in self._stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0
        )
        self._held = text[len(text) - held :]
        return piece._replace(answer=text[: len(text) - held])
