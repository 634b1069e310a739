"""Where work is done: in this session, or by the workers of a Ray cluster.

Packages that do the same to many shards or layers ask for the `current` engine; who runs them chooses it with
`running_on`, and nothing between the two has to know.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar

from emospace.engines.engine import Engine, Held
from emospace.engines.local import Local, in_parallel, in_processes, single_threaded
from emospace.errors import unknown

LOCAL = Local()

_current: ContextVar[Engine] = ContextVar("engine", default=LOCAL)


def current() -> Engine:
    """Return the engine that work is given to: this session, unless `running_on` says otherwise."""
    return _current.get()


@contextmanager
def running_on(name: str = "local", *, workers: int | None = None, device: str = "auto") -> Iterator[Engine]:
    """Give extraction and the fits of layers to an engine within.

    Parameters
    ----------
    name
        ``local``; ``ray`` for the cluster that this machine belongs to (``RAY_ADDRESS``), or else one started here
        for as long as it lasts; ``ray://host:port`` for the client server of a cluster elsewhere.
    workers
        Models held at once; else one for each GPU, or as many as the CPUs have room for.
    device
        Of the workers' models: ``auto`` (CUDA where the cluster has GPUs, else CPU), ``cpu``, ``cuda``, or ``map``
        to spread each model over the GPUs of its worker, all those of one machine unless `workers` asks for more.

    Raises
    ------
    EmospaceError
        If there is no such engine, Ray is not installed, or the cluster cannot be reached or lacks the device.
    """
    if name == "local":
        engine: Engine = LOCAL
        with _in_use(engine):
            yield engine
        return
    if name != "ray" and not name.startswith("ray://"):
        raise unknown("engine", name, ("local", "ray", "ray://host:port"))
    from emospace.engines.ray import Ray

    with closing(Ray(name, workers, device)) as engine, _in_use(engine):
        yield engine


@contextmanager
def _in_use(engine: Engine) -> Iterator[None]:
    token = _current.set(engine)
    try:
        yield
    finally:
        _current.reset(token)


__all__ = [
    "LOCAL",
    "Engine",
    "Held",
    "current",
    "in_parallel",
    "in_processes",
    "running_on",
    "single_threaded",
]
