"""The engine of one session: work is done here, with what is loaded already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

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


def in_parallel(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map `function` over `items`, as many at a time as torch has threads, each on one thread.

    Linear algebra on many small matrices gains nothing from threads within a call.
    """
    import torch

    workers = torch.get_num_threads()
    with single_threaded(), ThreadPoolExecutor(workers) as pool:
        yield from pool.map(function, items)


def in_processes(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map `function` over `items` as `in_parallel` does, but in processes: for what changes the state of its process."""
    import joblib
    import torch

    work = (joblib.delayed(function)(item) for item in items)
    yield from joblib.Parallel(n_jobs=torch.get_num_threads(), return_as="generator")(work)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Keep each linear algebra call on one thread within."""
    import scipy.linalg  # noqa: F401  what is not loaded yet cannot be held to one thread
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # NumPy and SciPy have threads of their own.
        with threadpool_limits(1, "blas"):
            yield
    finally:
        torch.set_num_threads(before)
