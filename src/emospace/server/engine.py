"""The engine: one thread that owns the model and gives every waiting answer its turn in one batch."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from emospace.generation.answering import Answer
from emospace.generation.loop import Batch
from emospace.specs import Limits

if TYPE_CHECKING:
    from emospace.models import LanguageModel
    from emospace.reading import Reader
    from emospace.steering.bank import VectorBank

T = TypeVar("T")
log = logging.getLogger(__name__)

PREFILL_TOKENS = 2048
"""Prompt tokens, padding included, that are run between two tokens of the answers under way."""

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


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


class Metrics:
    """Counters of one engine, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "emospace_requests_total", "Requests by route and status", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "emospace_request_seconds", "Time of a request", ["route"], buckets=SECONDS, registry=registry
        )
        self.first_token = Histogram(
            "emospace_first_token_seconds",
            "From a request to its first token",
            buckets=SECONDS,
            registry=registry,
        )
        self.answers = Counter(
            "emospace_answers_total", "Answers by how they ended", ["end"], registry=registry
        )
        self.answer_tokens = Counter("emospace_answer_tokens_total", "Tokens generated", registry=registry)
        self.prompt_tokens = Counter("emospace_prompt_tokens_total", "Tokens of prompts", registry=registry)
        self.rows = Gauge("emospace_rows", "Answers being generated", registry=registry)
        self.waiting = Gauge("emospace_waiting", "Answers and readings that wait", registry=registry)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self.registry)


class Busy(Exception):
    """Too many wait already; `retry_after` says for how many seconds to stay away."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many requests wait; try again in {retry_after} s")
        self.retry_after = retry_after


class WaitedTooLong(Busy):
    """The time of a request ended before its turn came."""


class Stopped(Exception):
    """The engine has been stopped."""


@dataclass(eq=False)
class _Call:
    """Something to be computed with the model between two tokens."""

    function: Callable[[], Any]
    deadline: float
    future: Future[Any] = field(default_factory=Future)

    @property
    def over(self) -> bool:
        return self.future.done()

    def run(self) -> None:
        if self.future.set_running_or_notify_cancel():
            try:
                self.future.set_result(self.function())
            except Exception as error:
                self.future.set_exception(error)

    def fail(self, error: Exception) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class Engine:
    """Generates answers and computes with one model, for many clients at once.

    Parameters
    ----------
    bank
        The model's steering vectors, None where it has none.
    reader
        Reads texts, None where reading is off.
    """

    def __init__(
        self,
        model: LanguageModel,
        bank: VectorBank | None = None,
        reader: Reader | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.model, self.bank, self.reader = model, bank, reader
        self.limits = limits or Limits()
        self.metrics = Metrics()
        self._batch = Batch(model)
        self._waiting: FairQueue[Answer | _Call] = FairQueue(self.limits.queue)
        self._work = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._seconds = 1.0  # of an answer, a running mean

    @property
    def running(self) -> bool:
        """Whether the engine's thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if not self.running:
            self._stopping = False
            self._thread = threading.Thread(target=self._run, name="emospace-engine", daemon=True)
            self._thread.start()

    def stop(self, seconds: float | None = None) -> None:
        """Fail what waits or is under way and end the thread; wait so long for it, without a limit unless given."""
        with self._work:
            self._stopping = True
            self._work.notify()
        if self._thread is not None:
            self._thread.join(seconds)

    def submit(self, client: str, answers: Sequence[Answer]) -> None:
        """Queue the answers of one request, all or none.

        Raises
        ------
        Busy
            If too many wait.
        Stopped
            If the engine is stopped.
        """
        self._put(client, answers)

    def call(self, client: str, function: Callable[[], T]) -> Future[T]:
        """Queue a function that uses the model; raises as `submit`."""
        call = _Call(function, time.monotonic() + self.limits.seconds)
        self._put(client, [call])
        return call.future

    def _put(self, client: str, items: Sequence[Answer | _Call]) -> None:
        with self._work:
            if self._stopping or not self.running:
                raise Stopped
            self._waiting.sweep(lambda item: item.over)
            try:
                self._waiting.put(client, items)
            except QueueFull:
                raise Busy(self._retry_after()) from None
            self.metrics.waiting.set(len(self._waiting))
            self._work.notify()

    def _retry_after(self) -> int:
        turns = len(self._waiting) / self.limits.rows
        return min(max(math.ceil(turns * self._seconds), 1), 60)

    def _run(self) -> None:
        import torch

        # A thread takes the number that holds when it first computes, and another's may be limited just then.
        torch.get_num_threads()
        while True:
            with self._work:
                while not (self._stopping or len(self._waiting) or self._batch.rows):
                    self._work.wait()
                if self._stopping:
                    left = [*self._waiting.sweep(lambda _: True), *self._batch.clear()]
                else:
                    late = self._sweep()
                    answers, call = self._admit()
                self.metrics.waiting.set(len(self._waiting))
                retry_after = self._retry_after()
            if self._stopping:
                for item in left:
                    item.fail(Stopped())
                return
            for item in late:
                item.fail(WaitedTooLong(retry_after))
            if call is not None:
                call.run()
            try:
                self._advance(answers)
            # Memory that ran out, or a fault: those in the batch are told, the next ones are served.
            except Exception as error:
                log.exception("a step of the batch failed")
                for answer in self._batch.clear():
                    if not answer.over:
                        answer.fail(error)

    def _sweep(self) -> list[Answer | _Call]:
        """Take out of the queue what was given up and, returned, what has waited beyond its time."""
        now = time.monotonic()
        self._waiting.sweep(lambda item: item.over)
        return self._waiting.sweep(lambda item: now > item.deadline)

    def _admit(self) -> tuple[list[Answer], _Call | None]:
        """Take answers while there are rows and room for their prompts, and one call."""
        answers: list[Answer] = []
        call: _Call | None = None

        def fits(item: Answer | _Call) -> bool:
            if isinstance(item, _Call):
                return call is None
            together = [candidate for answer in (*answers, item) for candidate in answer.candidates]
            if len(self._batch.rows) + len(together) > self.limits.rows:
                return False
            width = max(len(answer.prompt) for answer in together)
            n_rows = sum(answer.n_rows for answer in together)
            return not answers or width * n_rows <= PREFILL_TOKENS

        while (item := self._waiting.take(fits)) is not None:
            if isinstance(item, _Call):
                call = item
            else:
                answers.append(item)
        return answers, call

    def _advance(self, answers: list[Answer]) -> None:
        batch, metrics = self._batch, self.metrics
        self._leave()
        if answers:
            try:
                batch.join(answers)
            # A prompt that does not fit is no fault of those under way.
            except Exception as error:
                log.exception("prompts could not be run")
                for answer in answers:
                    if not answer.over:
                        answer.fail(error)
                answers = []
            now = time.monotonic()
            for answer in answers:
                metrics.first_token.observe(now - answer.start)
                metrics.prompt_tokens.inc(len(answer.prompt))
            self._leave()
        if batch.rows:
            batch.step()
            self._leave()
        metrics.rows.set(len(batch.rows))

    def _leave(self) -> None:
        # Of candidates, the first is the answer.
        for answer in (answer for answer in self._batch.leave() if not answer.branch):
            self.metrics.answer_tokens.inc(answer.n_tokens)
            self.metrics.answers.labels("finished" if answer.finished else "cancelled").inc()
            if answer.finished:
                self._seconds += 0.1 * (time.monotonic() - answer.start - self._seconds)
