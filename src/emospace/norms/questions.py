"""What a ratings file does not tell: an error that says which answer is missing, so that it can be asked for."""

from __future__ import annotations

from collections.abc import Sequence

from emospace.errors import EmospaceError


class OpenQuestion(EmospaceError):
    """Something a file does not tell and nobody may guess; `emospace norms import` asks it on a terminal.

    Parameters
    ----------
    key
        Key of the card that answers it: ``language``, ``scale.valence``, ``columns.word``, ``script``,
        ``reversed``.
    choices
        Answers that fit, if they can be told.
    parts
        The questions joined in this one, where it asks several (see `joined`).
    """

    def __init__(
        self,
        what: str,
        why: str,
        hint: str,
        *,
        key: str,
        choices: tuple[str, ...] = (),
        parts: tuple[OpenQuestion, ...] = (),
    ) -> None:
        super().__init__(what, why, hint)
        self.key = key
        self.choices = choices
        self.questions = parts or (self,)


def joined(questions: Sequence[OpenQuestion], addition: str = "") -> OpenQuestion:
    """Return several open questions as one message; its key and choices are those of the first.

    `addition` is added to what to do about them.
    """
    first, *others = questions
    if not others:
        fix = f"{first.hint} {addition}".strip()
        return OpenQuestion(first.what, first.why, fix, key=first.key, choices=first.choices, parts=(first,))
    whys = "; ".join(f"({i}) {question.why}" for i, question in enumerate(questions, 1))
    fixes = " ".join(f"({i}) {question.hint}" for i, question in enumerate(questions, 1))
    return OpenQuestion(
        first.what,
        f"{len(questions)} things are open: {whys}",
        f"{fixes} {addition}".strip(),
        key=first.key,
        choices=first.choices,
        parts=tuple(questions),
    )
