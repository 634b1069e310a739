"""Questions to a chat endpoint of the OpenAI protocol: asked again where it is busy or wants other parameters."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from emospace.errors import EmospaceError

if TYPE_CHECKING:
    import httpx

KEY = "EMOSPACE_JUDGE_KEY"
TRIES = 7
LONGEST_WAIT_S = 60.0
TIMEOUT_S = 600.0
LIMITS = ("max_tokens", "max_completion_tokens", None)
"""What the greatest length of a reply is called; newer OpenAI models take the second alone."""
REASONING = 4096
"""Tokens left for a model that reasons before it replies: they count towards the length."""


@dataclass(frozen=True)
class Parameters:
    """What endpoints differ in.

    Parameters
    ----------
    limit
        One of `LIMITS`.
    n_tokens
        Greatest length of a reply.
    temperature
        0, or None for the model's default where it takes no other.
    """

    n_tokens: int
    limit: str | None = LIMITS[0]
    temperature: float | None = 0.0

    def body(self) -> dict[str, Any]:
        """Return these fields of a request."""
        fields = {} if self.limit is None else {self.limit: self.n_tokens}
        return fields if self.temperature is None else fields | {"temperature": self.temperature}

    def alternatives(self, refusal: str) -> tuple[list[Parameters], list[Parameters]]:
        """Return what to ask with instead: without what a refusal names, and without what it does not name."""
        changed: dict[str, Parameters] = {}
        if self.limit is not None:
            after = LIMITS[LIMITS.index(self.limit) + 1]
            changed[self.limit] = replace(self, limit=after, n_tokens=max(self.n_tokens, REASONING))
        if self.temperature is not None:
            changed["temperature"] = replace(self, temperature=None)
        named = [other for name, other in changed.items() if name in refusal]
        return named, [other for other in changed.values() if other not in named]


class Endpoint:
    """A model behind an endpoint; threads may share it.

    Parameters
    ----------
    url, model
        The endpoint up to ``/v1``, and the name of the model there. The key, where one is needed, is in `KEY`.
    parameters
        How it is asked first. What it accepted is asked of it from then on.
    sleep, now
        Wait some seconds, and the time in seconds since 1970; tests give their own.
    """

    def __init__(
        self,
        url: str,
        model: str,
        parameters: Parameters,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.url, self.model, self.parameters = url, model, parameters
        self._sleep, self._now = sleep, now

    def client(self, at_once: int) -> httpx.Client:
        """Return a client for requests side by side; it follows no redirect, which the key must not take."""
        import httpx

        key = os.environ.get(KEY)
        return httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(TIMEOUT_S, connect=30.0),
            limits=httpx.Limits(max_connections=at_once),
        )

    def ask(
        self,
        client: httpx.Client,
        messages: Sequence[Mapping[str, str]],
        is_usable: Callable[[str], bool] = bool,
    ) -> tuple[str, Parameters]:
        """Return the model's reply, or the refusal of a filter of content, and how it was asked.

        Parameters
        ----------
        is_usable
            Of a reply cut for its length that is not usable, a longer one is asked for.

        Raises
        ------
        EmospaceError
            If the endpoint cannot be reached, refuses, or is busy for longer than `TRIES` tries.
        """
        waiting: list[Parameters] = [self.parameters]
        refusals: dict[Parameters, httpx.Response] = {}
        while waiting:
            parameters = waiting.pop(0)
            reply = self._send(client, {"model": self.model, "messages": list(messages)} | parameters.body())
            if reply.status_code == 400:
                if "content_filter" in reply.text:
                    return reply.text, parameters
                refusals[parameters] = reply
                named, others = parameters.alternatives(reply.text)
                waiting = [*named, *waiting, *others]
                waiting = [untried for untried in dict.fromkeys(waiting) if untried not in refusals]
                continue
            content, is_cut = _content(reply, self.url)
            if is_cut and not is_usable(content) and parameters.n_tokens < REASONING:
                waiting = [replace(parameters, n_tokens=REASONING)]
                continue
            self.parameters = parameters
            return content, parameters
        raise self._refused(next(iter(refusals.values())))

    def _send(self, client: httpx.Client, body: Mapping[str, Any]) -> httpx.Response:
        """Return an answer of status 200 or 400; any other is asked for again, or an error."""
        import httpx

        last = ""
        for attempt in range(TRIES):
            wait = 2.0**attempt
            try:
                reply = client.post(f"{self.url}/chat/completions", json=body)
            except (httpx.ConnectError, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
                raise EmospaceError(
                    self.url, f"it cannot be reached ({error})", "Start the server, or correct the URL."
                ) from error
            except httpx.TransportError as error:
                last = f"it does not answer ({error or type(error).__name__})"
            else:
                if reply.status_code in (200, 400):
                    return reply
                if reply.status_code not in (408, 429) and reply.status_code < 500:
                    raise self._refused(reply)
                last = _status(reply)
                wait = _retry_after(reply.headers.get("Retry-After", ""), self._now(), wait)
            if attempt < TRIES - 1:
                self._sleep(min(wait, LONGEST_WAIT_S))
        raise EmospaceError(
            self.url,
            f"{last}, {TRIES} times",
            "Wait and run the same command again: answers so far are kept.",
        )

    def _refused(self, reply: httpx.Response) -> EmospaceError:
        status = _status(reply)
        if reply.status_code in (401, 403):
            return EmospaceError(self.url, status, f"Put the right key into the variable {KEY}.")
        if reply.is_redirect:
            return EmospaceError(
                self.url,
                f"{status}: it redirects to {reply.headers['Location']}",
                "Name the URL it is served at.",
            )
        detail = reply.text[:300].strip()
        return EmospaceError(
            self.url, f"{status}: {detail}", f"Check the URL and that it serves the model '{self.model}'."
        )


def _content(reply: httpx.Response, url: str) -> tuple[str, bool]:
    """Return the text of a reply, and whether it was cut for its length."""
    try:
        choice = reply.json()["choices"][0]
        return str(choice["message"]["content"] or ""), choice.get("finish_reason") == "length"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise EmospaceError(
            url,
            "its reply is no chat completion",
            "Name the URL of an OpenAI-compatible endpoint, up to /v1.",
        ) from error


def _status(reply: httpx.Response) -> str:
    return f"it answers {reply.status_code} {reply.reason_phrase}"


def _retry_after(value: str, now: float, otherwise: float) -> float:
    """Return the seconds a ``Retry-After`` header asks to wait: a number, or the time it names."""
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return otherwise
    return max((until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() - now, 0.0)
