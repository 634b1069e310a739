"""`/v1/chat/completions` and `/v1/completions`: OpenAI's answers, whole or streamed, in a tone."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from emospace.generation.decoding import EMPTY, opens_thought
from emospace.generation.loop import Answer, Event
from emospace.server.engine import Engine
from emospace.server.failures import ApiError, sse_error
from emospace.server.requests import chat_ids, check_model, describe_plan, plan_of, sampling_of, text_ids
from emospace.server.schemas import (
    ChatChoice,
    ChatCompletion,
    ChatMessage,
    ChatRequest,
    CompletionRequest,
    Steered,
    TextChoice,
    TextCompletion,
    Usage,
)
from emospace.server.settings import Settings

GONE = 499
"""The status, seen by nobody, of a request whose client left."""


class Exchange:
    """The answers of one request, and their events as they come."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        request: ChatRequest | CompletionRequest,
        prompts: Sequence[Sequence[int]],
    ) -> None:
        limits, model = engine.limits, engine.model
        self.plan = plan_of(model, engine.bank, request)
        self.is_chat = isinstance(request, ChatRequest)
        self.prompts, self.engine = prompts, engine
        self.head = {
            "id": f"{'chatcmpl' if self.is_chat else 'cmpl'}-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": settings.model,
        }
        self.shows_usage = request.stream_options is not None and request.stream_options.include_usage
        loop, self.events = asyncio.get_running_loop(), asyncio.Queue[Event | None]()

        def emit(event: Event) -> None:
            try:
                loop.call_soon_threadsafe(self.events.put_nowait, event)
            except RuntimeError:  # the event loop is closed: nobody reads any more
                self.cancel()

        deadline = time.monotonic() + limits.seconds
        self.answers: list[Answer] = []
        for prompt in prompts:
            space = (model.context or len(prompt) + limits.answer_tokens) - len(prompt)
            sampling = sampling_of(request, space, limits)
            opened = opens_thought(model, prompt) if self.is_chat else None
            for _ in range(request.n or 1):
                index = len(self.answers)
                self.answers.append(
                    Answer(prompt, sampling, self.plan, index, emit, request.stops, opened, deadline)
                )

    async def each(self) -> AsyncIterator[Event]:
        """Yield the events of all answers until each has ended; raises the error of one that failed."""
        left = len(self.answers)
        while left:
            event = await self.events.get()
            if event is None:
                return
            if event.error is not None:
                raise event.error
            left -= event.finish is not None
            yield event

    async def cancel_when_left(self, receive: Receive) -> None:
        """Wait until the client leaves, then give its answers up."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self.cancel()
        self.events.put_nowait(None)

    def cancel(self) -> None:
        """Give up what is not finished."""
        for answer in self.answers:
            answer.cancel()

    def usage(self) -> Usage:
        """Return the tokens of prompts, each counted once, and answers."""
        prompts = sum(len(prompt) for prompt in self.prompts)
        answers = sum(answer.n_tokens for answer in self.answers)
        return Usage(prompt_tokens=prompts, completion_tokens=answers, total_tokens=prompts + answers)

    def steering(self, answers: Sequence[Answer]) -> Steered | None:
        """Return what steered answers, None for no tone."""
        if self.plan is None:
            return None
        applications = sum(answer.applications for answer in answers)
        return describe_plan(self.plan).model_copy(update={"applications": applications})


def completion_routes(engine: Engine, settings: Settings) -> APIRouter:
    """Return the routes that generate."""
    router, limit = APIRouter(prefix="/v1", tags=["generation"]), engine.limits.prompt_tokens
    names = (settings.model, str(engine.model.identity.get("name")), engine.model.name)

    @router.post("/chat/completions", response_model=ChatCompletion)
    async def chat(body: ChatRequest, request: Request) -> Any:
        """Continue a conversation, in a tone where one is given."""
        check_model(body.model, names)
        _check_number(body.n or 1, engine)
        prompts = [
            await asyncio.to_thread(chat_ids, engine.model, body.messages, limit, body.chat_template_kwargs)
        ]
        return await _respond(Exchange(engine, settings, body, prompts), body, request)

    @router.post("/completions", response_model=TextCompletion)
    async def complete(body: CompletionRequest, request: Request) -> Any:
        """Continue a text, in a tone where one is given."""
        check_model(body.model, names)
        if not body.prompts:
            raise ApiError(400, "prompt: the list is empty", "invalid_value", "prompt")
        _check_number(len(body.prompts) * (body.n or 1), engine)
        prompts = [await asyncio.to_thread(text_ids, engine.model, prompt, limit) for prompt in body.prompts]
        return await _respond(Exchange(engine, settings, body, prompts), body, request)

    return router


def _check_number(answers: int, engine: Engine) -> None:
    most = engine.limits.queue
    if answers > most:
        raise ApiError(400, f"n: this server gives at most {most} answers to a request", "invalid_value", "n")


async def _respond(exchange: Exchange, body: ChatRequest | CompletionRequest, request: Request) -> Response:
    exchange.engine.submit(request.state.client, exchange.answers)
    if body.stream:
        return EventStream(exchange)
    leaving = asyncio.create_task(exchange.cancel_when_left(request.receive))
    texts = [EMPTY] * len(exchange.answers)
    finishes: list[Any] = [None] * len(exchange.answers)
    try:
        async for event in exchange.each():
            texts[event.index] = texts[event.index].then(event.piece)
            finishes[event.index] = event.finish or finishes[event.index]
    finally:
        leaving.cancel()
        exchange.cancel()
    if None in finishes:
        return Response(status_code=GONE)
    shared: dict[str, Any] = {
        **exchange.head,
        "usage": exchange.usage(),
        "steering": exchange.steering(exchange.answers),
    }
    ends = enumerate(zip(texts, finishes, strict=True))
    completion: ChatCompletion | TextCompletion
    if exchange.is_chat:
        chats = [
            ChatChoice(
                index=index,
                message=ChatMessage(content=text.answer, reasoning_content=text.reasoning or None),
                finish_reason=finish,
            )
            for index, (text, finish) in ends
        ]
        completion = ChatCompletion(choices=chats, **shared)
    else:
        plain = [
            TextChoice(index=index, text=text.answer, finish_reason=finish) for index, (text, finish) in ends
        ]
        completion = TextCompletion(choices=plain, **shared)
    return Response(completion.model_dump_json(), media_type="application/json")


class EventStream(Response):
    """Server-sent events of a request; its answers are given up when the client leaves."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(media_type="text/event-stream; charset=utf-8")
        del self.headers["content-length"]
        self.headers["cache-control"] = "no-store"
        self.headers["x-accel-buffering"] = "no"
        self.exchange = exchange

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        leaving = asyncio.create_task(self.exchange.cancel_when_left(receive))
        # Some servers say by an error that nobody listens any more.
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            async for line in self._lines():
                await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except OSError:
            pass
        finally:
            leaving.cancel()
            self.exchange.cancel()

    async def _lines(self) -> AsyncIterator[bytes]:
        exchange = self.exchange
        try:
            if exchange.is_chat:
                for answer in exchange.answers:
                    yield self._chunk(answer, {"role": "assistant", "content": ""})
            async for event in exchange.each():
                answer = exchange.answers[event.index]
                if event.piece.reasoning:
                    yield self._chunk(answer, {"reasoning_content": event.piece.reasoning})
                if event.text:
                    yield self._chunk(answer, {"content": event.text})
                if event.finish:
                    yield self._chunk(answer, {}, event.finish)
            if exchange.shows_usage:
                yield self._line(choices=[], usage=exchange.usage().model_dump())
        # The status is long sent: what went wrong can only be said in the stream.
        except Exception as error:
            yield sse_error(error)
        yield b"data: [DONE]\n\n"

    def _chunk(self, answer: Answer, delta: dict[str, str], finish: str | None = None) -> bytes:
        text: dict[str, Any] = (
            {"delta": delta} if self.exchange.is_chat else {"text": delta.get("content", "")}
        )
        choice = {"index": answer.index, **text, "finish_reason": finish, "logprobs": None}
        steered = self.exchange.steering([answer]) if finish else None
        more = {"steering": steered.model_dump()} if steered else {}
        return self._line(choices=[choice], **more)

    def _line(self, **fields: Any) -> bytes:
        kind = "chat.completion.chunk" if self.exchange.is_chat else "text_completion"
        chunk = {"object": kind, **self.exchange.head, **fields}
        return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"
