"""A queue that is fair between clients: each in turn gives one item."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class QueueFull(Exception):
    """There is no room for more; nothing was put."""


class FairQueue(Generic[T]):
    """Items by client, taken round robin. Not locked: whoever shares it between threads locks it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._clients: OrderedDict[str, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(items) for items in self._clients.values())

    def put(self, client: str, items: Sequence[T]) -> None:
        """Add a client's items, all or none; raises `QueueFull`."""
        if len(self) + len(items) > self.size:
            raise QueueFull
        self._clients.setdefault(client, deque()).extend(items)

    def take(self, fits: Callable[[T], bool]) -> T | None:
        """Return the first item, over clients in turn, whose client has nothing before it and that fits."""
        for client, items in self._clients.items():
            if fits(items[0]):
                item = items.popleft()
                if items:
                    self._clients.move_to_end(client)
                else:
                    del self._clients[client]
                return item
        return None

    def sweep(self, gone: Callable[[T], bool]) -> list[T]:
        """Take out all items that are `gone`, wherever they stand, and return them."""
        taken: list[T] = []
        for client in list(self._clients):
            items = self._clients[client]
            left = [item for item in items if gone(item)]
            if left:
                taken += left
                self._clients[client] = deque(item for item in items if item not in left)
                if not self._clients[client]:
                    del self._clients[client]
        return taken
