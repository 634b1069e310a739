"""`emospace serve`: the API and the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emospace.cli.options import takes
from emospace.display import say
from emospace.errors import EmospaceError, InvalidInput
from emospace.specs import ServeSpec

if TYPE_CHECKING:
    from emospace.models import LanguageModel
    from emospace.steering.bank import VectorBank

RUNS = Path("runs")


@takes(ServeSpec)
def serve(spec: ServeSpec) -> None:
    """Serve the page and an OpenAI-compatible API whose field `emotion` sets the tone.

    For example:

    emospace serve

    emospace serve --model gemma --port 8080 --runs studies
    """
    from emospace.models import load_model
    from emospace.models.devices import in_passing_thread
    from emospace.reading import load_reader
    from emospace.server.app import serve as run_server
    from emospace.server.engine import Engine
    from emospace.server.settings import Settings, read_keys

    if spec.runs is not None and not spec.runs.is_dir():
        raise InvalidInput(f"--runs {spec.runs}", "it is no folder", "Name the folder your runs lie in.")
    settings = Settings(
        model=spec.model if not Path(spec.model).exists() else Path(spec.model).name,
        host=spec.host,
        port=spec.port,
        api_keys=read_keys(spec.api_key_file) if spec.api_key_file else (),
        names=spec.allow_host,
        origins=spec.allow_origin,
        drain=spec.drain,
        runs=spec.runs or (RUNS if RUNS.is_dir() else None),
    ).check()

    def engine() -> Engine:
        model = load_model(spec.model, **spec.loading)
        bank = _bank(model, spec.source)
        reader = load_reader(model, language=spec.language) if spec.reader else None
        return Engine(model, bank, reader, spec.limits)

    run_server(in_passing_thread(engine), settings)


def _bank(model: LanguageModel, source: str | None) -> VectorBank | None:
    from emospace.steering.bank import load_vectors

    try:
        return load_vectors(model, source)
    except EmospaceError as error:
        if source is not None:
            raise
        say(f"{error} Until then answers are unsteered.")
        return None
