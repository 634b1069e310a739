"""The engine of one session: work is done here, with what is loaded already."""

from __future__ import annotations

import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from threading import Lock, get_ident
from typing import Any

from emospace.engines.engine import Held, Item, Piece, Result, Thing


class Local:
    """Work in this process: a map on as many threads as torch has, work with a model in turn."""

    device: str | None = None

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield `function` of each item, in order; each runs on one thread."""
        return in_parallel(function, items)

    def spread(
        self, work: Callable[[Thing, Item], Iterable[Piece]], items: Iterable[Item], held: Held[Thing]
    ) -> Iterator[tuple[Item, Iterable[Piece]]]:
        """Yield each item in turn; its pieces come as they are made."""
        for item in items:
            yield item, work(held.here, item)


def in_parallel(
    function: Callable[[Item], Result], items: Iterable[Item], most: int | None = None
) -> Iterator[Result]:
    """Map `function` over `items`, as many at a time as torch has threads, each on one thread.

    Linear algebra on many small matrices gains nothing from threads within a call. With `most` fewer items are at
    work at a time, on as many more threads each. Items are taken as they are needed, and no more than one result
    waits beside those at work: each may be large.
    """
    import torch

    n_threads = torch.get_num_threads()
    workers = min(n_threads, most or n_threads)
    waiting: deque[Future[Result]] = deque()
    limit = n_threads // workers
    with (
        limited_threads(limit),
        ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(limit,)) as pool,
    ):
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def in_processes(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map `function` over `items` as `in_parallel` does, but in processes: for what changes the state of its process.

    Warnings are issued again here, so that they go where those of this process go.
    """
    import joblib
    import torch

    work = (joblib.delayed(_with_warnings)(function, item) for item in items)
    for result, issued in joblib.Parallel(n_jobs=torch.get_num_threads(), return_as="generator")(work):
        for text, category in issued:
            warnings.warn(text, category, stacklevel=2)
        yield result


def _with_warnings(
    function: Callable[[Item], Result], item: Item
) -> tuple[Result, list[tuple[str, type[Warning]]]]:
    """Return a result and the warnings its computation issued: text and category."""
    with warnings.catch_warnings(record=True) as issued:
        result = function(item)
    return result, [(str(warning.message), warning.category) for warning in issued]


def single_threaded() -> AbstractContextManager[None]:
    """Keep each linear algebra call on one thread within."""
    return limited_threads(1)


class _ThreadLimits:
    """All limits that stand in this process; they may begin and end in any order, in generators and in threads.

    Each thread has a number of its own in torch, and gets it back with the end of its last limit. NumPy's and SciPy's
    is the process's: the strictest limit holds, and the last to end gives it back.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._standing: dict[int, list[int]] = {}
        self._before: dict[int, int] = {}
        self._limit: int | None = None  # of the libraries
        self._free: dict[str, int] = {}  # their numbers without one
        self._looked: tuple[int, list[Any]] = (0, [])

    def begin(self, n: int) -> int:
        """Add a limit and return the thread it belongs to."""
        import scipy.linalg  # noqa: F401  what is not loaded yet cannot be held to one thread
        import torch

        thread = get_ident()
        with self._lock:
            self._before.setdefault(thread, torch.get_num_threads())
            self._standing.setdefault(thread, []).append(n)
            self._apply()
        return thread

    def end(self, n: int, thread: int) -> None:
        """Take a limit away."""
        with self._lock:
            self._standing[thread].remove(n)
            if not self._standing[thread]:
                del self._standing[thread]
            self._apply()

    def _apply(self) -> None:
        import torch

        limit = min(map(min, self._standing.values()), default=None)
        if limit != self._limit:
            self._hold_libraries(limit)
        thread = get_ident()
        if thread in self._standing:
            torch.set_num_threads(min(self._standing[thread]))
        elif thread in self._before:
            torch.set_num_threads(self._before.pop(thread))

    def _hold_libraries(self, limit: int | None) -> None:
        if self._limit is None:
            self._free = {}
        for library in self._libraries():
            free = self._free.setdefault(library.filepath, library.num_threads)
            # A newer threadpoolctl lets one thread alone set a library, until that is taken back.
            release = getattr(library, "clear_controlling_thread", dict)
            release(force=True)
            library.set_num_threads(free if limit is None else limit)
            release(force=True)
        self._limit = limit

    def _libraries(self) -> list[Any]:
        """Return the linear algebra libraries of this process, looked for again only where modules were imported."""
        # A look takes five milliseconds, longer than many a map.
        from threadpoolctl import ThreadpoolController

        if self._looked[0] != len(sys.modules):
            libraries = ThreadpoolController().select(user_api="blas").lib_controllers
            self._looked = len(sys.modules), libraries
        return self._looked[1]


_LIMITS = _ThreadLimits()


@contextmanager
def limited_threads(n: int) -> Iterator[None]:
    """Keep each linear algebra call of this thread, and NumPy's anywhere, on at most `n` threads within."""
    thread = _LIMITS.begin(n)
    try:
        yield
    finally:
        _LIMITS.end(n, thread)
