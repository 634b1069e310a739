"""The engine of a Ray cluster: workers that hold one model each, and tasks that fit one layer each.

A worker that is lost costs the shard it was at: that shard goes to an idle worker, or to the next free one while another
is hired in its place. Every worker computes with as many threads as the session that asks, since the last bit of a sum can
depend on their number.
"""

from __future__ import annotations

import logging
import math
import os
import re
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from emospace.display import say
from emospace.engines.engine import Held, Item, Piece, Result, Thing
from emospace.engines.local import single_threaded
from emospace.errors import EmospaceError, MissingDependency

log = logging.getLogger(__name__)

PATIENCE = 3
"""Workers that may be lost in turn over one shard, or before any has its model, until the run is given up."""

QUIET_SECONDS = 60
"""How long nothing may come back before the user is shown what is waited for."""


class Worker:
    """A process on the cluster; holds one model at a time and does one shard at a time."""

    def hold(self, make: Callable[[str], Any], device: str, threads: int) -> str:
        """Hold what is made, and return the machine where that is."""
        import ray
        import torch

        torch.set_num_threads(threads)
        # The one before is let go first: there may be no room for both.
        self.held = None
        self.held = make(device)
        return str(ray.get_runtime_context().get_node_id())

    def do(self, work: Callable[[Any, Any], Iterable[Any]], item: Any) -> tuple[None, list[Any]]:
        """Return that an item is done, and apart from it the pieces, which take a while to travel."""
        return None, list(work(self.held, item))


@dataclass(eq=False)
class _Hand:
    """A worker, its machine (None while Ray is to choose one), and the key of what it holds or is loading."""

    worker: Any
    node: str | None
    key: str | None = None


@dataclass
class _Job:
    """An item and how many workers it has cost."""

    item: Any
    lost: int = 0


class Ray:
    """Work on a Ray cluster; see `engines.running_on` for the parameters."""

    def __init__(self, name: str, workers: int | None, device: str) -> None:
        if workers is not None and workers < 1:
            raise EmospaceError(f"{workers} workers", "nobody would do the work", "Ask for 1 or more.")
        self._ray = _import_ray()
        self._name = name
        self._owned = _connect(self._ray, name)
        self._hands: list[_Hand] = []
        self._idle: list[_Hand] = []
        self._loading: dict[Any, _Hand] = {}
        try:
            self.workers, self._gpus, self._place = self._plan(workers, device)
            self.device: str | None = "cuda" if self._gpus else self._place.replace("map", "cpu")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Dismiss the workers, and leave the cluster if it was entered here."""
        self._dismiss(list(self._hands))
        self._idle, self._loading = [], {}
        if self._owned:
            self._ray.shutdown()

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield `function` of each item, in order, as many at a time as the cluster has CPUs."""
        ray = self._ray
        task = ray.remote(_on_one_thread).options(num_cpus=1, max_retries=PATIENCE)
        shared = ray.put(function)
        under_way: deque[Any] = deque()
        n_at_once = max(1, int(ray.cluster_resources().get("CPU", 1)))
        try:
            for item in items:
                under_way.append(task.remote(shared, item))
                if len(under_way) >= n_at_once:
                    yield self._result(under_way.popleft())
            while under_way:
                yield self._result(under_way.popleft())
        except _losses(ray) as error:
            raise self._given_up("the same fit", error) from error
        finally:
            for ref in under_way:
                ray.cancel(ref, force=True)

    def spread(
        self, work: Callable[[Thing, Item], Iterable[Piece]], items: Iterable[Item], held: Held[Thing]
    ) -> Iterator[tuple[Item, Iterable[Piece]]]:
        """Yield each item when its worker has done it; those of lost workers go to others."""
        ray, lost = self._ray, _losses(self._ray)
        jobs = (_Job(item) for item in items)
        waiting = deque(islice(jobs, self.workers))
        busy: dict[Any, tuple[_Hand, _Job, Any]] = {}
        lost_unloaded = 0

        def again(job: _Job, error: Exception) -> None:
            """Put a job back that its worker, or the machine with its result, was lost with."""
            job.lost += 1
            waiting.appendleft(job)
            log.warning("a worker was lost; its shard goes to another (%s)", _first_line(error))
            if job.lost >= PATIENCE:
                raise self._given_up("the same shard", error) from error

        def engage(hand: _Hand) -> None:
            """Let a worker go on: with the model, or with a job where it has that."""
            if hand.key != held.key:
                hand.key = held.key
                self._loading[hand.worker.hold.remote(held.make, self._place, _threads())] = hand
                return
            job = waiting.popleft() if waiting else next(jobs, None)
            if job is None:
                self._idle.append(hand)
            else:
                done, pieces = hand.worker.do.options(num_returns=2).remote(work, job.item)
                busy[done] = hand, job, pieces

        try:
            for _ in range(len(waiting) - len(self._loading)):
                engage(self._idle.pop() if self._idle else self._hired())
            while waiting or busy:
                # Some may still load when the work is done: they are ready for the next.
                done, _ = ray.wait([*self._loading, *busy], num_returns=1, timeout=QUIET_SECONDS)
                if not done:
                    self._tell()
                    continue
                hand, job, pieces = busy.pop(done[0], None) or (self._loading.pop(done[0]), None, None)
                try:
                    node = self._result(done[0])
                except lost as error:
                    self._dismiss([hand, *self._idle_of_lost_machines()])
                    if job is None:
                        lost_unloaded += 1
                        if lost_unloaded >= PATIENCE:
                            raise self._given_up("loading the model", error) from error
                    else:
                        again(job, error)
                    engage(self._idle.pop() if self._idle else self._hired())
                    continue
                # It goes on while what it made is on its way.
                engage(hand)
                if job is None:
                    lost_unloaded, hand.node = 0, node
                    continue
                try:
                    result = self._result(pieces)
                except lost as error:
                    self._dismiss(self._idle_of_lost_machines())
                    again(job, error)
                    if self._idle or not busy:
                        engage(self._idle.pop() if self._idle else self._hired())
                    continue
                yield job.item, result
        finally:
            self._dismiss([hand for hand, *_ in busy.values()])

    def _idle_of_lost_machines(self) -> list[_Hand]:
        """Return the idle workers that were lost with their machine; the others can take a shard at once."""
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        return [hand for hand in self._idle if hand.node not in alive]

    def _plan(self, workers: int | None, device: str) -> tuple[int, int, str]:
        """Return how many workers, the GPUs of each, and the device to load a model on."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        gpus = [int(node["GPU"]) for node in nodes if node.get("GPU", 0) >= 1]
        if device.startswith("cuda") and not gpus:
            raise EmospaceError(
                f"device '{device}'", f"no machine of {self._where} has a GPU", "Use --device auto or cpu."
            )
        if not gpus or device in ("cpu", "mps"):
            n_workers = sum(int(node.get("CPU", 0)) // _threads() for node in nodes)
            return workers or max(1, n_workers), 0, device if device in ("map", "mps") else "cpu"
        if device != "map":
            return min(workers or sum(gpus), sum(gpus)), 1, "cuda"
        wanted = min(workers or len(gpus), sum(gpus))
        each = max(n for n in range(1, max(gpus) + 1) if sum(count // n for count in gpus) >= wanted)
        return wanted, each, "map"

    def _hired(self) -> _Hand:
        if self._gpus:
            node = None
            options = {"num_gpus": self._gpus, "num_cpus": 0, "scheduling_strategy": "SPREAD"}
        else:
            # A place on a CPU is asked for but not kept, so that idle workers leave room for fits. Ray's SPREAD does
            # not see workers that keep none, and puts two on one machine while another has none.
            node = self._emptiest()
            place = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=True)
            options = {"scheduling_strategy": place}
        hand = _Hand(self._ray.remote(Worker).options(max_restarts=0, **options).remote(), node)
        self._hands.append(hand)
        return hand

    def _emptiest(self) -> str:
        """Return the machine that has the fewest workers for its CPUs, another one counted."""
        n_on = Counter(hand.node for hand in self._hands)

        def share(node: dict[str, Any]) -> float:
            cpus = node["Resources"].get("CPU", 0)
            return (n_on[node["NodeID"]] + 1) / cpus if cpus else math.inf

        return str(min((node for node in self._ray.nodes() if node["Alive"]), key=share)["NodeID"])

    def _dismiss(self, hands: Iterable[_Hand]) -> None:
        gone = set(hands)
        for hand in gone:
            self._ray.kill(hand.worker)
        self._hands = [hand for hand in self._hands if hand not in gone]
        self._idle = [hand for hand in self._idle if hand not in gone]

    def _result(self, ref: Any) -> Any:
        """Return what a worker made, or raise what it met as it would be raised here."""
        try:
            return self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, EmospaceError):
                raise type(cause)(
                    f"{cause.what}, on the worker at {_address(error)}", cause.why, cause.hint
                ) from error
            raise

    def _tell(self) -> None:
        if self._loading:
            say(f"Ray: {len(self._loading)} workers load their model, or wait for a place on {self._where}.")

    @property
    def _where(self) -> str:
        return "this machine's cluster" if self._name == "ray" else f"the cluster at {self._name}"

    def _given_up(self, at: str, error: Exception) -> EmospaceError:
        return EmospaceError(
            f"engine '{self._name}'",
            f"{PATIENCE} workers were lost at {at} ({_first_line(error)})",
            "Look at their memory: ask for fewer --workers or a smaller --dtype. What is done is kept in the store.",
        )


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingDependency(
            "engine 'ray'", "Ray is not installed", "Run: pip install 'emospace[ray]'"
        ) from error
    return ray


def _connect(ray: Any, name: str) -> bool:
    """Enter the cluster, and return whether it has to be left again; one entered before is taken as it is."""
    if ray.is_initialized():
        return False
    address = None if name == "ray" else name
    where = address or os.environ.get("RAY_ADDRESS", "")
    try:
        # Ray's own client tries for half a minute, and does not say which of its addresses was wrong.
        if where.startswith("ray://"):
            parts = urlsplit(where)
            socket.create_connection((parts.hostname or "", parts.port or 10001), timeout=10).close()
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
    # Ray raises several kinds here, its own and Python's.
    except Exception as error:
        raise EmospaceError(
            f"engine '{where or name}'",
            f"the cluster cannot be reached ({_first_line(error)})",
            "Check that it runs and the port is the client server's (10001), or use --engine ray to start one here.",
        ) from error
    return True


def _losses(ray: Any) -> tuple[type[Exception], ...]:
    """Return what Ray raises where a process or machine was lost, whatever it was doing."""
    kinds = ray.exceptions
    return (
        kinds.RayActorError,
        kinds.WorkerCrashedError,
        kinds.NodeDiedError,
        kinds.ObjectLostError,
        kinds.OutOfMemoryError,
    )


def _on_one_thread(function: Callable[[Item], Result], item: Item) -> Result:
    with single_threaded():
        return function(item)


def _threads() -> int:
    import torch

    return int(torch.get_num_threads())


def _address(error: Exception) -> str:
    """Return where a worker met an error: Ray 2.60 says it in the message alone, among colours."""
    match = re.search(r"\bip=([\w.:]+)", str(error))
    return match[1] if match else "an address unknown"


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__
