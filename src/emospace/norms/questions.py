"""What a ratings file does not tell: an error that says which answer is missing, so that it can be asked for."""

from __future__ import annotations

from emospace.errors import EmospaceError


class OpenQuestion(EmospaceError):
    """Something a file does not tell and nobody may guess; `emospace norms import` asks it on a terminal.

    Parameters
    ----------
    key
        Key of the card that answers it: ``language``, ``scale.valence``, ``columns.word``, ``script``,
        ``reversed.valence``.
    choices
        Answers that fit, if they can be told.
    """

    def __init__(self, what: str, why: str, mend: str, *, key: str, choices: tuple[str, ...] = ()) -> None:
        super().__init__(what, why, mend)
        self.key = key
        self.choices = choices
