"""`/v1/models` and `/v1/emotions`: what there is to steer and to steer with."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from emospace.artefacts import jsonable
from emospace.concepts import bundled_languages, categories, load_concepts
from emospace.server.beside import beside
from emospace.server.engine import Engine
from emospace.server.requests import check_model, describe_plan, plan_of, read_ranges
from emospace.server.schemas import ResolveRequest
from emospace.server.settings import Settings
from emospace.steering.bank import AXES, VectorBank
from emospace.steering.vector import MODES, SteeringVector

N_WORDS = 5


def emotion_routes(engine: Engine, settings: Settings) -> APIRouter:
    """Return the routes that describe the model and its emotions."""
    router, created = APIRouter(prefix="/v1", tags=["model"]), int(time.time())

    def model_card() -> dict[str, Any]:
        model = engine.model
        return {
            "id": settings.model,
            "object": "model",
            "created": created,
            "owned_by": "emospace",
            "name": model.identity.get("name") or model.name,
            "chat": bool(model.tokenizer.chat_template),
            "n_blocks": model.n_blocks,
            "d_model": model.d_model,
            "context": model.context,
            "limits": engine.limits.model_dump(),
        }

    @router.get("/models")
    def list_models() -> JSONResponse:
        """List the one model that is served, with the limits of a request."""
        return JSONResponse({"object": "list", "data": [model_card()]})

    @router.get("/models/{model:path}")
    def one_model(model: str) -> JSONResponse:
        """Describe the model."""
        check_model(model, (settings.model, engine.model.name))
        return JSONResponse(model_card())

    @router.get("/emotions")
    def list_emotions() -> JSONResponse:
        """List categories and axes: their places, words, vectors and calibrated ranges."""
        bank = engine.bank
        names = [] if bank is None else dict.fromkeys([*bank.names, *(name for name, _ in bank.vectors)])
        return JSONResponse(
            jsonable(
                {
                    "object": "list",
                    "model": settings.model,
                    "modes": list(MODES),
                    "data": [_emotion(engine, name) for name in names],
                }
            )
        )

    @router.post("/emotions/resolve")
    async def resolve(body: ResolveRequest, request: Request) -> JSONResponse:
        """Tell what a tone would do: its vector, layers, dose and calibrated range."""
        await read_ranges(engine, request.state.client, body)
        plan = await beside(plan_of, engine.model, engine.bank, body, engine.reader)
        steered = None if plan is None else describe_plan(plan).model_dump()
        return JSONResponse({"object": "emotion.resolved", "steering": steered})

    return router


def _emotion(engine: Engine, name: str) -> dict[str, Any]:
    assert engine.bank is not None
    listed = {category.name: category for category in categories()}
    valence, arousal = engine.bank.positions.get(name, (None, None))
    vectors = engine.bank.vectors
    return {
        "id": name,
        "object": "emotion",
        "kind": "axis" if name in AXES else "category",
        "basic": name in listed and listed[name].basic,
        "definition": listed[name].definition if name in listed else "",
        "valence": valence,
        "arousal": arousal,
        "words": _words().get(name, {}),
        "vectors": {
            mode: _vector(vectors[name, mode])
            | (tried_doses(engine.bank, name) if mode == "relative" else {})
            for mode in MODES
            if (name, mode) in vectors
        },
    }


def tried_doses(bank: VectorBank, name: str) -> dict[str, Any]:
    """Return what calibration found of an emotion's vector at each dose, none where its judge does not know the emotion."""
    chosen = bank.note.get("chosen", {}).get(name)
    if chosen is None:
        return {"base_rate": None, "tried": []}
    trials = [
        trial
        for trial in bank.note["trials"][name]
        if (trial["source"], trial["contrast"]) == (chosen["source"], chosen["contrast"])
        and trial["rate"] is not None
        and trial["perplexity_ratio"] is not None
    ]
    known = any(trial["rate"] or trial["probability"] for trial in trials)
    figures = ("dose", "rate", "perplexity_ratio", "facts", "n_judged")
    return {
        "base_rate": bank.note["unsteered"].get(name),
        "tried": [{figure: trial.get(figure) for figure in figures} for trial in trials] if known else [],
    }


def _vector(vector: SteeringVector) -> dict[str, Any]:
    calibrated = vector.calibration.get(vector.mode)
    return {
        "kind": vector.kind,
        "op": vector.op,
        "scope": vector.scope,
        "window": list(vector.window),
        "layers": list(vector.layers),
        "shares": dict(vector.shares),
        "dose": calibrated and calibrated.dose,
        "low": calibrated and calibrated.low,
        "high": calibrated and calibrated.high,
        "guidance": vector.guidance and vector.guidance.given,
    }


@lru_cache(maxsize=1)
def _words() -> dict[str, dict[str, list[str]]]:
    """Return category -> language -> its first concept words."""
    sets = load_concepts(list(bundled_languages()))
    by_category: dict[str, dict[str, list[str]]] = {}
    for language in sets.languages:
        for category in sets.categories:
            words = sets.words(language, category)[:N_WORDS]
            if words:
                by_category.setdefault(category, {})[language] = list(words)
    return by_category
