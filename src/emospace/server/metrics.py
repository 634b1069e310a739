"""What the server counts, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


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
