"""`emospace serve`: the API and the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emospace.cli.options import REVISION, TEMPLATE_ARG, template_args_of
from emospace.display import say
from emospace.errors import EmospaceError

if TYPE_CHECKING:
    from emospace.models import LanguageModel
    from emospace.reading import Reader
    from emospace.steering.bank import VectorBank

MODEL, ACCESS, BOUNDS = "Model", "Who may ask", "Bounds of requests"
RUNS = Path("runs")


def serve(
    model: Annotated[
        str,
        typer.Option(
            help="embedded (SmolLM2-135M-Instruct), a hub id, a folder or a GGUF file.", rich_help_panel=MODEL
        ),
    ] = "embedded",
    revision: Annotated[str | None, typer.Option(help=REVISION, rich_help_panel=MODEL)] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Other than loopback only with --api-key-file.", rich_help_panel=ACCESS)
    ] = "127.0.0.1",
    api_key_file: Annotated[
        Path | None, typer.Option(help="Keys, one a line; # begins a comment.", rich_help_panel=ACCESS)
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A further name of this machine; repeated for several.", rich_help_panel=ACCESS),
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option(help="A folder of finished studies, shown on the page; else runs, where it is here."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Which calibrated vectors: mix, sae or dense.", rich_help_panel=MODEL),
    ] = None,
    language: Annotated[
        str, typer.Option(help="Whose concepts and norms reading uses.", rich_help_panel=MODEL)
    ] = "en",
    reader: Annotated[
        bool,
        typer.Option("--reader/--no-reader", help="Read texts too (/v1/read).", rich_help_panel=MODEL),
    ] = True,
    dtype: Annotated[
        str,
        typer.Option(
            help="float32, bfloat16, float16, or auto: bfloat16 where it is fast.", rich_help_panel=MODEL
        ),
    ] = "float32",
    device: Annotated[
        str, typer.Option(help="auto, a torch device, or map for several GPUs.", rich_help_panel=MODEL)
    ] = "auto",
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code",
            help="Run code that comes with the model. Only if you trust its authors.",
            rich_help_panel=MODEL,
        ),
    ] = False,
    template_arg: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help=TEMPLATE_ARG, rich_help_panel=MODEL),
    ] = None,
    max_prompt: Annotated[
        int, typer.Option(min=1, help="Tokens of a prompt.", rich_help_panel=BOUNDS)
    ] = 4096,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens of an answer.", rich_help_panel=BOUNDS)
    ] = 1024,
    max_body: Annotated[
        int, typer.Option(min=1, help="Bytes of a request.", rich_help_panel=BOUNDS)
    ] = 1_000_000,
    rows: Annotated[int, typer.Option(min=1, help="Answers generated at once.", rich_help_panel=BOUNDS)] = 16,
    queue: Annotated[int, typer.Option(min=1, help="Answers that may wait.", rich_help_panel=BOUNDS)] = 64,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Time of a request.", rich_help_panel=BOUNDS)
    ] = 300.0,
) -> None:
    """Serve the page and an OpenAI-compatible API whose field `emotion` sets the tone.

    For example:

    emospace serve

    emospace serve --model gemma --port 8080 --runs studies
    """
    from emospace.models import load_model
    from emospace.server.engine import Engine
    from emospace.server.listen import listen
    from emospace.server.settings import Limits, Settings, read_keys

    if runs is not None and not runs.is_dir():
        raise EmospaceError(f"--runs {runs}", "it is no folder", "Name the folder your runs lie in.")
    limits = Limits(
        prompt_tokens=max_prompt,
        answer_tokens=max_tokens,
        body_bytes=max_body,
        rows=rows,
        queue=queue,
        seconds=seconds,
    )
    settings = Settings(
        model=model if not Path(model).exists() else Path(model).name,
        host=host,
        port=port,
        api_keys=read_keys(api_key_file) if api_key_file else (),
        names=tuple(allow_host or ()),
        runs=runs or (RUNS if RUNS.is_dir() else None),
    ).check()
    loaded = load_model(
        model,
        dtype=dtype,
        device=device,
        revision=revision,
        trust_remote_code=trust_remote_code,
        template_args=template_args_of(template_arg),
    )
    engine = Engine(loaded, _bank(loaded, source), _reader(loaded, language) if reader else None, limits)
    listen(engine, settings)


def _bank(model: LanguageModel, source: str | None) -> VectorBank | None:
    from emospace.cli.tone import bank_of

    try:
        return bank_of(model, source)
    except EmospaceError as error:
        if source is not None:
            raise
        say(f"{error} Until then answers are unsteered.")
        return None


def _reader(model: LanguageModel, language: str) -> Reader:
    from emospace.reading import load_reader

    return load_reader(model, language=language)
