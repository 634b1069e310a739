"""What an engine is: a place where pieces of work that need nothing of one another are done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")
Piece = TypeVar("Piece")
Result = TypeVar("Result")
Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Held(Generic[Thing]):
    """Something that work needs and that is too large to travel, such as a model.

    Attributes
    ----------
    here
        This session's own.
    key
        Changes with what it is; a worker that holds one of this key keeps it for later work.
    make
        Makes it again on a device (``cpu``, ``cuda``, ``map``), in a worker's process; must pickle.
    """

    here: Thing
    key: str
    make: Callable[[str], Thing]


class Engine(Protocol):
    """Where work is done; results are the same bit for bit on machines of the same kind.

    Attributes
    ----------
    device
        Type of the device its workers compute on; None where work is done with what the session itself holds.
    """

    device: str | None

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield `function` of each item, in order; each runs on one thread."""

    def spread(
        self, work: Callable[[Thing, Item], Iterable[Piece]], items: Iterable[Item], held: Held[Thing]
    ) -> Iterator[tuple[Item, Iterable[Piece]]]:
        """Yield each item with its pieces, those of ``work(held, item)``; items come in any order."""
