"""`/v1/responses`: OpenAI's later form of a conversation, as far as text goes; nothing is kept between requests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from emospace.generation.decoding import EMPTY, Parts
from emospace.server.completions import GONE, EventStream, Exchange, begin, finished
from emospace.server.engine import Engine
from emospace.server.failures import ApiError
from emospace.server.schemas import UNSUPPORTED, ChatRequest, Generation, Message, refused
from emospace.server.settings import Settings

if TYPE_CHECKING:
    from emospace.models import LanguageModel

FIELDS: Mapping[str, str] = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
}
"""Field of a chat -> the field here that it was made of."""

TEXTS = ("input_text", "output_text", "text")


class InputText(BaseModel):
    """A part of a message; only text is read."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["input_text", "output_text", "text"]
    text: str


class InputItem(BaseModel):
    """A message of the conversation, also one that this server gave as output."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[InputText]

    @model_validator(mode="before")
    @classmethod
    def _only_text(cls, given: Any) -> Any:
        if isinstance(given, dict):
            kind, content = given.get("type", "message"), given.get("content")
            if isinstance(kind, str) and kind != "message":
                raise refused(f"'{kind[:40]}' is not read here, only messages", "type", code="unsupported")
            for number, part in enumerate(content if isinstance(content, list) else []):
                kind = part.get("type") if isinstance(part, dict) else None
                if isinstance(kind, str) and kind not in TEXTS:
                    why = f"'{kind[:40]}' is not read here, only parts of text"
                    raise refused(why, "content", number, "type", code="unsupported")
        return given

    def message(self) -> Message:
        """Return the message of a chat."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return Message(role=self.role, content=text)


class ResponsesRequest(Generation):
    """A conversation to be continued; no answer is kept, so each request holds all of it."""

    unsupported: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        **UNSUPPORTED,
        "background": (False,),
        "conversation": (),
        "include": ([],),
        "max_tool_calls": (0,),
        "previous_response_id": (),
        "prompt": (),
        "reasoning": ({},),
        "text": ({"format": {"type": "text"}}, {}),
        "truncation": ("disabled",),
    }

    input: str | list[InputItem] = Field(examples=["Tell me about your day."])
    instructions: str | None = Field(default=None, description="a system prompt before the input")
    max_output_tokens: int | None = Field(default=None, ge=1)
    n: Literal[1] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_thoughts(cls, given: Any) -> Any:
        # Clients send back all of an earlier output; thoughts are not given to the model again.
        if isinstance(given, dict) and isinstance(given.get("input"), list):
            kept = [
                item
                for item in given["input"]
                if not (isinstance(item, dict) and item.get("type") == "reasoning")
            ]
            return {**given, "input": kept}
        return given

    def chat(self) -> ChatRequest:
        """Return the same as a request of ``/v1/chat/completions``; raises `ApiError` where nothing is asked."""
        given = [Message(role="user", content=self.input)] if isinstance(self.input, str) else []
        given += [item.message() for item in self.input if isinstance(item, InputItem)]
        if not given:
            raise ApiError(400, "input: the list is empty", "invalid_value", "input")
        first = [Message(role="system", content=self.instructions)] if self.instructions else []
        shared = self.model_dump(
            exclude={"input", "instructions", "max_output_tokens", "n", "stream_options"}
        )
        limit = self.max_output_tokens or self.max_tokens
        return ChatRequest.model_construct(
            **{**shared, "messages": [*first, *given], "max_tokens": limit, "guidance": self.guidance}
        )


def response_routes(engine: Engine, settings: Settings) -> APIRouter:
    """Return the route of responses."""
    router = APIRouter(prefix="/v1", tags=["generation"])

    @router.post("/responses")
    async def respond(body: ResponsesRequest, request: Request) -> Any:
        """Continue a conversation in the form of OpenAI's Responses, in a tone where one is given."""
        try:
            exchange = await begin(engine, settings, body.chat(), request)
        except ApiError as error:
            raise _renamed(error) from error
        writer = ResponseWriter(exchange, body, engine.model)
        if body.stream:
            return EventStream(exchange, writer.events, end=b"")
        answers = await finished(exchange, request)
        if answers is None:
            return Response(status_code=GONE)
        whole = writer.response(answers.texts[0], answers.finishes[0])
        return Response(json.dumps(whole, ensure_ascii=False), media_type="application/json")

    return router


def _renamed(error: ApiError) -> ApiError:
    """Return an error of a chat with the names of the fields that were given."""
    detail = error.body.error
    name = FIELDS.get(detail.param or "")
    if name is None:
        return error
    message = detail.message.replace(f"{detail.param}:", f"{name}:", 1)
    return ApiError(error.status, message, detail.code or "", name, error.headers)


class ResponseWriter:
    """Writes one answer in the form of a response, whole or event by event."""

    def __init__(self, exchange: Exchange, body: ResponsesRequest, model: LanguageModel) -> None:
        self.exchange, self.body, self.model = exchange, body, model
        self.name = str(exchange.head["id"]).removeprefix("chatcmpl-")
        self.numbers = count()

    def response(self, text: Parts, finish: str | None, status: str = "") -> dict[str, Any]:
        """Return the response, `finish` saying why the answer ended; None while it goes on."""
        is_cut = finish == "length"
        steered = self.exchange.steering(self.exchange.answers)
        usage = self.exchange.usage()
        return {
            "id": f"resp_{self.name}",
            "object": "response",
            "created_at": self.exchange.head["created"],
            "status": status or ("incomplete" if is_cut else "completed"),
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "instructions": self.body.instructions,
            "max_output_tokens": self.body.max_output_tokens,
            "metadata": self.body.metadata or {},
            "model": self.exchange.head["model"],
            "output": [] if finish is None else list(self._output(text, finish)),
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": self.body.temperature,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": self.body.top_p,
            "truncation": "disabled",
            "usage": None
            if finish is None
            else {
                "input_tokens": usage.prompt_tokens,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": usage.completion_tokens,
                "output_tokens_details": {"reasoning_tokens": self._n_tokens(text.reasoning)},
                "total_tokens": usage.total_tokens,
            },
            "user": self.body.user,
            "steering": None if steered is None or finish is None else steered.model_dump(),
        }

    def _n_tokens(self, text: str) -> int:
        return len(self.model.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else 0

    def _output(self, text: Parts, finish: str) -> Iterator[dict[str, Any]]:
        if text.reasoning:
            yield self._thought(text.reasoning)
        yield self._message(text.answer, "incomplete" if finish == "length" else "completed")

    def _thought(self, text: str | None = None) -> dict[str, Any]:
        content = [] if text is None else [{"type": "reasoning_text", "text": text}]
        return {"type": "reasoning", "id": f"rs_{self.name}", "summary": [], "content": content}

    def _message(self, text: str | None, status: str) -> dict[str, Any]:
        content = [] if text is None else [self._part(text)]
        return {
            "type": "message",
            "id": f"msg_{self.name}",
            "role": "assistant",
            "status": status,
            "content": content,
        }

    @staticmethod
    def _part(text: str) -> dict[str, Any]:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    async def events(self, exchange: Exchange) -> AsyncIterator[bytes]:
        """Yield the events of a stream: a thought, where there is one, then the message, then the whole response."""
        begun = self.response(EMPTY, None, "in_progress")
        yield self._event("response.created", response=begun)
        yield self._event("response.in_progress", response=begun)
        whole, finish, place, is_open = EMPTY, "stop", 0, {"thought": False, "message": False}
        async for event in exchange.each():
            piece, finish = event.piece, event.finish or finish
            if piece.reasoning and not is_open["message"]:
                if not is_open["thought"]:
                    is_open["thought"] = True
                    yield self._event("response.output_item.added", output_index=0, item=self._thought())
                of = {"item_id": f"rs_{self.name}", "output_index": 0, "content_index": 0}
                yield self._event("response.reasoning_text.delta", **of, delta=piece.reasoning)
            whole = whole.then(piece)
            if (event.text or event.finish) and not is_open["message"]:
                if is_open["thought"]:
                    for line in self._thought_done(whole.reasoning):
                        yield line
                    place = 1
                is_open["message"] = True
                for line in self._message_begun(place):
                    yield line
            if event.text:
                of = {"item_id": f"msg_{self.name}", "output_index": place, "content_index": 0}
                yield self._event("response.output_text.delta", **of, delta=event.text, logprobs=[])
        for line in self._message_done(place, whole.answer, finish):
            yield line
        end = self.response(whole, finish)
        yield self._event(f"response.{end['status']}", response=end)

    def _thought_done(self, text: str) -> Iterator[bytes]:
        of = {"item_id": f"rs_{self.name}", "output_index": 0, "content_index": 0}
        yield self._event("response.reasoning_text.done", **of, text=text)
        yield self._event("response.output_item.done", output_index=0, item=self._thought(text))

    def _message_begun(self, place: int) -> Iterator[bytes]:
        item = self._message(None, "in_progress")
        yield self._event("response.output_item.added", output_index=place, item=item)
        of = {"item_id": item["id"], "output_index": place, "content_index": 0}
        yield self._event("response.content_part.added", **of, part=self._part(""))

    def _message_done(self, place: int, text: str, finish: str) -> Iterator[bytes]:
        item = self._message(text, "incomplete" if finish == "length" else "completed")
        of = {"item_id": item["id"], "output_index": place, "content_index": 0}
        yield self._event("response.output_text.done", **of, text=text, logprobs=[])
        yield self._event("response.content_part.done", **of, part=self._part(text))
        yield self._event("response.output_item.done", output_index=place, item=item)

    def _event(self, kind: str, **fields: Any) -> bytes:
        event = {"type": kind, "sequence_number": next(self.numbers), **fields}
        return f"event: {kind}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
