"""`/v1/read` and `/v1/judge`: the emotion of texts, from the model's features and from outside of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from emospace.artefacts import jsonable
from emospace.errors import EmospaceError
from emospace.generation.forward import perplexities
from emospace.judges import BASIC_SEVEN, load_judge
from emospace.reading.tokens import over_tokens, tokenise
from emospace.server.beside import beside
from emospace.server.engine import Engine
from emospace.server.failures import ApiError, from_emospace
from emospace.server.requests import chat_ids, check_model, text_ids
from emospace.server.runs import Runs
from emospace.server.schemas import MOST_TEXTS, JudgeRequest, ReadRequest
from emospace.server.settings import Settings

if TYPE_CHECKING:
    from emospace.models import LanguageModel
    from emospace.reading import Reader, Reading

JUDGE = "subword"


def reading_routes(engine: Engine, settings: Settings, runs: Runs) -> APIRouter:
    """Return the routes that read and judge texts."""
    router, limit = APIRouter(prefix="/v1", tags=["reading"]), engine.limits.prompt_tokens

    @router.post("/read")
    async def read(body: ReadRequest, request: Request) -> JSONResponse:
        """Read texts: scores of each token and text, and the features behind them."""
        check_model(body.model, (settings.model, engine.model.name))
        reader = engine.reader
        if reader is None:
            raise ApiError(404, "This server was started without a reader.", "reading_off")
        _check_texts(body.texts, limit)

        def compute() -> dict[str, Any]:
            try:
                return _read(reader, body, limit)
            except EmospaceError as error:
                raise from_emospace(error, "input") from error

        reading = await asyncio.wrap_future(engine.call(request.state.client, compute))
        if reader.sae is not None and body.features:
            words = await beside(runs.feature_words, reader.sae.content_hash, reading["language"])
            for text in reading["data"]:
                for token in text["tokens"]:
                    for feature in token["features"]:
                        feature["words"] = words.get(feature["latent"], [])
        return JSONResponse(jsonable({"object": "list", "model": settings.model, **reading}))

    @router.post("/judge")
    async def judge_texts(body: JudgeRequest, request: Request) -> JSONResponse:
        """Judge texts from outside the model, and tell how fluent they are after what they answer."""
        check_model(body.model, (settings.model, engine.model.name))
        _check_texts(body.texts, limit)
        if body.messages is not None and body.prompt is not None:
            raise ApiError(400, "prompt: give messages or a prompt", "invalid_value", "prompt")
        judged = await beside(_judge, body)
        values: list[float | None] = [None] * len(body.texts)
        if body.messages is not None or body.prompt is not None:
            rows = await beside(_rows, engine.model, body, limit)
            # One text at a time: a long one beside many short ones would be padded to its length in all of them.
            work = engine.call(request.state.client, lambda: perplexities(engine.model, *rows, batch_size=1))
            values = (await asyncio.wrap_future(work)).tolist()
        for row, value in zip(judged["data"], values, strict=True):
            row["perplexity"] = value
        return JSONResponse(jsonable({"object": "list", **judged}))

    return router


def _check_texts(texts: Sequence[str], limit: int) -> None:
    if not texts or len(texts) > MOST_TEXTS:
        raise ApiError(400, f"input: give 1 to {MOST_TEXTS} texts", "invalid_value", "input")
    if sum(map(len, texts)) > 32 * limit:
        raise ApiError(
            400, "Too long: the input has too many characters.", "context_length_exceeded", "input"
        )


def _read(reader: Reader, body: ReadRequest, limit: int) -> dict[str, Any]:
    n = sum(len(tokens.ids) for tokens in tokenise(reader.model, body.texts))
    if n > limit:
        raise ApiError(
            400,
            f"Too long: the input has {n:,} tokens, {limit:,} are read.",
            "context_length_exceeded",
            "input",
        )
    whole = reader.read(body.texts)
    try:
        reading = whole if body.categories is None else whole.select(body.categories)
    except EmospaceError as error:
        raise from_emospace(error, "categories") from error
    features = _features(reader, whole, body.features)
    return {
        "language": reading.language,
        "space": "dense" if reader.sae is None else "sae",
        "layer": reader.weights.layer,
        "categories": list(reading.categories),
        "data": [
            {
                "object": "reading",
                "index": index,
                "text": text,
                "valence": reading.valence[index],
                "arousal": reading.arousal[index],
                "scores": reading.scores[index],
                "tokens": [
                    {
                        "token": token,
                        "start": int(tokens.offsets[place, 0]),
                        "end": int(tokens.offsets[place, 1]),
                        "valence": tokens.valence[place],
                        "arousal": tokens.arousal[place],
                        "scores": tokens.scores[place],
                        "features": features[index][place],
                    }
                    for place, token in enumerate(tokens.tokens)
                ],
            }
            for index, (text, tokens) in enumerate(zip(reading.texts, reading.tokens, strict=True))
        ],
        "usage": {"prompt_tokens": n, "total_tokens": n},
    }


def _features(reader: Reader, reading: Reading, n: int) -> list[list[list[dict[str, Any]]]]:
    """Return the `n` features of each token of each text that add most to its highest category."""
    weights = reader.weights
    if reader.sae is None or weights.latents is None or not n:
        return [[[] for _ in text.tokens] for text in reading.tokens]
    directions = weights.directions[:, : len(weights.categories)] / weights.scale[: len(weights.categories)]
    main = [weights.categories[place] for place in directions.argmax(axis=1)]
    tokens = tokenise(reader.model, reading.texts)
    texts = []
    activations = over_tokens(reader.model, tokens, weights.layer, reader.features)
    for active, text in zip(activations, reading.tokens, strict=True):
        rows = []
        for values, highest in zip(active, np.asarray(text.scores).argmax(axis=1), strict=True):
            added = values * directions[:, highest]
            order = [int(place) for place in np.argsort(-added, kind="stable")[:n] if values[place] > 0]
            rows.append(
                [
                    {
                        "latent": int(weights.latents[place]),
                        "activation": float(values[place]),
                        "category": main[place],
                        "contribution": float(added[place]),
                        "words": [],
                    }
                    for place in order
                ]
            )
        texts.append(rows)
    return texts


def _judge(body: JudgeRequest) -> dict[str, Any]:

    judge = load_judge(JUDGE)
    try:
        judgement = judge.judge(body.texts, body.language)
    except EmospaceError as error:
        raise from_emospace(error, "language") from error
    rows = [
        {
            "object": "judgement",
            "index": index,
            "choice": None if judgement.unjudged[index] else str(judgement.choice[index]),
            "basic": dict(zip(BASIC_SEVEN, judgement.seven[index].tolist(), strict=True)),
            "probability": dict(zip(judgement.labels, judgement.probability[index].tolist(), strict=True)),
        }
        for index in range(len(body.texts))
    ]
    return {"judge": judge.name, "labels": list(judgement.labels), "data": rows}


def _rows(model: LanguageModel, body: JudgeRequest, limit: int) -> tuple[list[list[int]], list[list[int]]]:
    """Return the tokens that stand before each text and those of each; raises `ApiError` where they are too many."""
    before = (
        chat_ids(model, body.messages, limit)
        if body.messages is not None
        else text_ids(model, body.prompt or "", limit)
    )
    texts: list[list[int]] = [
        model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in body.texts
    ]
    most = min(limit, model.context or limit)
    if len(before) + max(map(len, texts)) > most or sum(map(len, texts)) > limit:
        raise ApiError(
            400,
            f"Too long: texts and what they answer have {most:,} tokens at most.",
            "context_length_exceeded",
            "input",
        )
    return [before] * len(texts), texts
