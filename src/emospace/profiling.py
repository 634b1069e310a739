"""Where the time of a run goes: nested timings, kept only while somebody asks for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Timing:
    """Time spent under one name, in all its calls.

    Attributes
    ----------
    seconds
        Wall-clock time, what lies inside included. A GPU works while Python goes on: what it was given is paid for
        where its results are waited for.
    calls
        How often it was entered.
    counts
        What was counted there (see `count`).
    inside
        Timings within, by name.
    """

    name: str
    seconds: float = 0.0
    calls: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    inside: dict[str, Timing] = field(default_factory=dict)

    @property
    def other(self) -> float:
        """Seconds that no timing inside accounts for."""
        return self.seconds - sum(part.seconds for part in self.inside.values())

    def as_json(self) -> dict[str, Any]:
        """Return the tree as plain JSON values."""
        return {
            "name": self.name,
            "seconds": round(self.seconds, 4),
            "calls": self.calls,
            "counts": self.counts,
            "inside": [part.as_json() for part in self.inside.values()],
        }

    def rows(self, least: float = 0.002, depth: int = 0) -> Iterator[tuple[str, float, str, str]]:
        """Yield ``(indented name, seconds, calls, counts)``, parts in the order they were first entered.

        Parts below the share `least` of all are left out; what no part accounts for is named at its end.
        """
        yield from self._rows(least * self.seconds, depth)

    def _rows(self, least: float, depth: int) -> Iterator[tuple[str, float, str, str]]:
        counts = ", ".join(f"{n:,} {name}" for name, n in self.counts.items())
        yield "  " * depth + self.name, self.seconds, f"{self.calls:,}", counts
        for part in self.inside.values():
            if part.seconds >= least:
                yield from part._rows(least, depth + 1)
        if self.inside and self.other >= least:
            yield "  " * (depth + 1) + "(the rest)", self.other, "", ""


_open: ContextVar[Timing | None] = ContextVar("open timing", default=None)


@contextmanager
def profile(whole: Timing) -> Iterator[Timing]:
    """Keep the timings of what runs within, in this thread, in `whole`."""
    before = _open.set(whole)
    begin = time.perf_counter()
    try:
        yield whole
    finally:
        whole.seconds += time.perf_counter() - begin
        whole.calls += 1
        _open.reset(before)


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Add what runs within, or a function decorated with it, to the timing that is open, if one is.

    Never around a ``yield``: what the caller does between two items would count too.
    """
    outer = _open.get()
    if outer is None:
        yield
        return
    timing = outer.inside.setdefault(name, Timing(name))
    before = _open.set(timing)
    begin = time.perf_counter()
    try:
        yield
    finally:
        timing.seconds += time.perf_counter() - begin
        timing.calls += 1
        _open.reset(before)


def count(name: str, n: int) -> None:
    """Add to a count of the timing that is open, if one is."""
    timing = _open.get()
    if timing is not None:
        timing.counts[name] = timing.counts.get(name, 0) + int(n)
