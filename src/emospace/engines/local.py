"""The engine of one session: work is done here, with what is loaded already."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

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
    with limited_threads(n_threads // workers), ThreadPoolExecutor(workers) as pool:
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
    """Map `function` over `items` as `in_parallel` does, but in processes: for what changes the state of its process."""
    import joblib
    import torch

    work = (joblib.delayed(function)(item) for item in items)
    yield from joblib.Parallel(n_jobs=torch.get_num_threads(), return_as="generator")(work)


def single_threaded() -> AbstractContextManager[None]:
    """Keep each linear algebra call on one thread within."""
    return limited_threads(1)


@contextmanager
def limited_threads(n: int) -> Iterator[None]:
    """Keep each linear algebra call on `n` threads within."""
    import scipy.linalg  # noqa: F401  what is not loaded yet cannot be held to one thread
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        # NumPy and SciPy have threads of their own.
        with threadpool_limits(n, "blas"):
            yield
    finally:
        torch.set_num_threads(before)
