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

from emospace.models.decoding import EMPTY, opens_thought
from emospace.server.asking import chat_ids, check_model, context, sampling_of, steering_of, text_ids
from emospace.server.batch import Answer, Event
from emospace.server.engine import Engine
from emospace.server.failures import ApiError, sse_error
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


class Asked:
    """The answers of one request, and their events as they come."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        request: ChatRequest | CompletionRequest,
        prompts: Sequence[Sequence[int]],
    ) -> None:
        limits = engine.limits
        found = steering_of(engine.model, engine.bank, request)
        steering = found[0] if found else None
        self.steered = found[1] if found else None
        self.is_chat = isinstance(request, ChatRequest)
        self.id = f"{'chatcmpl' if self.is_chat else 'cmpl'}-{uuid.uuid4().hex}"
        self.created, self.model, self.engine = int(time.time()), settings.model, engine
        self.usage_asked = request.stream_options is not None and request.stream_options.include_usage
        n = request.n or 1
        loop, self.events = asyncio.get_running_loop(), asyncio.Queue[Event | None]()

        def emit(event: Event) -> None:
            loop.call_soon_threadsafe(self.events.put_nowait, event)

        deadline = time.monotonic() + limits.seconds
        self.prompts = prompts
        self.answers: list[Answer] = []
        for prompt in prompts:
            room = (context(engine.model) or len(prompt) + limits.answer_tokens) - len(prompt)
            sampling = sampling_of(request, room, limits)
            opened = opens_thought(engine.model, prompt) if self.is_chat else None
            for _ in range(n):
                self.answers.append(
                    Answer(
                        prompt,
                        sampling,
                        emit,
                        steering,
                        request.stops,
                        index=len(self.answers),
                        opened=opened,
                        deadline=deadline,
                    )
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

    def cancel(self) -> None:
        """Give up what is not finished."""
        for answer in self.answers:
            answer.cancel()

    def usage(self) -> Usage:
        """Return the tokens of prompts, each counted once, and answers."""
        asked = sum(len(prompt) for prompt in self.prompts)
        answered = sum(answer.n_tokens for answer in self.answers)
        return Usage(prompt_tokens=asked, completion_tokens=answered, total_tokens=asked + answered)

    def steering(self, answers: Sequence[Answer]) -> Steered | None:
        """Return what steered answers, None for no tone."""
        if self.steered is None:
            return None
        return self.steered.model_copy(update={"applications": sum(one.applications for one in answers)})


def completion_routes(engine: Engine, settings: Settings) -> APIRouter:
    """Return the routes that generate."""
    router, limit = APIRouter(prefix="/v1", tags=["generation"]), engine.limits.prompt_tokens
    known = (settings.model, str(engine.model.identity.get("name")), engine.model.name)

    @router.post("/chat/completions", response_model=ChatCompletion)
    async def chat(body: ChatRequest, request: Request) -> Any:
        """Continue a conversation, in a tone where one is given."""
        check_model(body.model, known)
        _check_number(body.n or 1, engine)
        prompts = [
            await asyncio.to_thread(chat_ids, engine.model, body.messages, limit, body.chat_template_kwargs)
        ]
        return await _respond(Asked(engine, settings, body, prompts), body, request)

    @router.post("/completions", response_model=TextCompletion)
    async def complete(body: CompletionRequest, request: Request) -> Any:
        """Continue a text, in a tone where one is given."""
        check_model(body.model, known)
        if not body.prompts:
            raise ApiError(400, "prompt: the list is empty", "invalid_value", "prompt")
        _check_number(len(body.prompts) * (body.n or 1), engine)
        prompts = [await asyncio.to_thread(text_ids, engine.model, one, limit) for one in body.prompts]
        return await _respond(Asked(engine, settings, body, prompts), body, request)

    return router


def _check_number(answers: int, engine: Engine) -> None:
    most = engine.limits.queue
    if answers > most:
        raise ApiError(400, f"n: this server gives at most {most} answers to a request", "invalid_value", "n")


async def _respond(asked: Asked, body: ChatRequest | CompletionRequest, request: Request) -> Response:
    asked.engine.submit(request.state.client, asked.answers)
    if body.stream:
        return EventStream(asked)
    leaving = asyncio.create_task(_leave(request.receive, asked))
    texts = [EMPTY] * len(asked.answers)
    finishes: list[Any] = [None] * len(asked.answers)
    try:
        async for event in asked.each():
            texts[event.index] = texts[event.index].then(event.piece)
            finishes[event.index] = event.finish or finishes[event.index]
    finally:
        leaving.cancel()
        asked.cancel()
    if None in finishes:
        return Response(status_code=GONE)
    told: dict[str, Any] = {
        "id": asked.id,
        "created": asked.created,
        "model": asked.model,
        "usage": asked.usage(),
        "steering": asked.steering(asked.answers),
    }
    found: ChatCompletion | TextCompletion
    ends = list(zip(texts, finishes, strict=True))
    if asked.is_chat:
        chats = [
            ChatChoice(
                index=index,
                message=ChatMessage(content=text.answer, reasoning_content=text.reasoning or None),
                finish_reason=finish,
            )
            for index, (text, finish) in enumerate(ends)
        ]
        found = ChatCompletion(choices=chats, **told)
    else:
        plain = [
            TextChoice(index=index, text=text.answer, finish_reason=finish)
            for index, (text, finish) in enumerate(ends)
        ]
        found = TextCompletion(choices=plain, **told)
    return Response(found.model_dump_json(), media_type="application/json")


async def _leave(receive: Receive, asked: Asked) -> None:
    """Wait until the client leaves, then give its answers up."""
    while (await receive())["type"] != "http.disconnect":
        pass
    asked.cancel()
    asked.events.put_nowait(None)


class EventStream(Response):
    """Server-sent events of a request; its answers are given up when the client leaves."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(media_type="text/event-stream; charset=utf-8")
        del self.headers["content-length"]
        self.headers["cache-control"] = "no-store"
        self.headers["x-accel-buffering"] = "no"
        self.asked = asked

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        leaving = asyncio.create_task(_leave(receive, self.asked))
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
            self.asked.cancel()

    async def _lines(self) -> AsyncIterator[bytes]:
        asked = self.asked
        try:
            if asked.is_chat:
                for answer in asked.answers:
                    yield self._chunk(answer, {"role": "assistant", "content": ""})
            async for event in asked.each():
                answer = asked.answers[event.index]
                if event.piece.reasoning:
                    yield self._chunk(answer, {"reasoning_content": event.piece.reasoning})
                if event.text:
                    yield self._chunk(answer, {"content": event.text})
                if event.finish:
                    yield self._chunk(answer, {}, event.finish)
            if asked.usage_asked:
                yield self._line(choices=[], usage=asked.usage().model_dump())
        # The status is long sent: what went wrong can only be said in the stream.
        except Exception as error:
            yield sse_error(error)
        yield b"data: [DONE]\n\n"

    def _chunk(self, answer: Answer, delta: dict[str, str], finish: str | None = None) -> bytes:
        said: dict[str, Any] = {"delta": delta} if self.asked.is_chat else {"text": delta.get("content", "")}
        choice = {"index": answer.index, **said, "finish_reason": finish, "logprobs": None}
        steered = self.asked.steering([answer]) if finish else None
        more = {"steering": steered.model_dump()} if steered else {}
        return self._line(choices=[choice], **more)

    def _line(self, **fields: Any) -> bytes:
        asked = self.asked
        told = {
            "id": asked.id,
            "object": "chat.completion.chunk" if asked.is_chat else "text_completion",
            "created": asked.created,
            "model": asked.model,
            **fields,
        }
        return b"data: " + json.dumps(told, ensure_ascii=False).encode() + b"\n\n"
