"""The errors a user sees: what was given, why it cannot be used, and how to fix it."""

from __future__ import annotations


class EmospaceError(Exception):
    """A problem with something the user gave; the command line prints it and exits with code 2.

    Parameters
    ----------
    what
        The input at fault, named as the user knows it (a path, a category, a model name).
    why
        The reason it cannot be used, one clause.
    hint
        What to do about it, an instruction.
    """

    def __init__(self, what: str, why: str, hint: str) -> None:
        self.what = what
        self.why = why
        self.hint = hint
        super().__init__(f"{what}: {why}. {hint}")

    def __reduce__(self) -> tuple[type[EmospaceError], tuple[str, str, str]]:
        # By default an exception is made again from its message alone, which this one is not made of.
        return type(self), (self.what, self.why, self.hint)

    @property
    def mend(self) -> str:
        """The hint, under the name it had up to this version."""
        warn_of_rename("EmospaceError.mend", "EmospaceError.hint")
        return self.hint


class InvalidInput(EmospaceError, ValueError):
    """An argument or the content of a file that cannot be used; also a `ValueError`."""


class MissingDependency(EmospaceError, ImportError):
    """A package that is needed and not installed; also an `ImportError`."""


class DiskError(EmospaceError, OSError):
    """A file or folder that cannot be read or written; also an `OSError`."""


def unknown(
    kind: str, given: str, known: list[str] | tuple[str, ...], near: list[str] | None = None
) -> InvalidInput:
    """Return the error for a name that is not in a list, with what was meant: `near`, by default the nearest known names."""
    from difflib import get_close_matches

    near = get_close_matches(given, known, n=3, cutoff=0.5) if near is None else near
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(sorted(known))}."
    return InvalidInput(f"{kind} '{given}'", f"there is no such {kind}", hint)


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its kind where it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__


def warn_of_rename(old: str, new: str) -> None:
    """Warn whoever called the function that calls this one that it has another name now."""
    import warnings

    warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=3)
