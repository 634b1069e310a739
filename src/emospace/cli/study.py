"""`emospace study` and `emospace report`: the whole way for one model, and its page again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from emospace.cli.options import (
    REVISION,
    TEMPLATE_ARG,
    build_spec,
    command_line,
    run_folder,
    split,
    template_args_of,
)
from emospace.display import say, table
from emospace.profiling import timed

OPTIONS = {
    "model": "--model",
    "revision": "--revision",
    "languages": "--languages",
    "norms": "--norms",
    "categories": "--categories",
    "concepts": "--concepts",
    "sae": "--sae",
    "sae_corpus": "--sae-corpus",
    "sae_tokens": "--sae-tokens",
    "dtype": "--dtype",
    "device": "--device",
    "trust_remote_code": "--trust-remote-code",
    "template_args": "--template-arg",
    "pooling": "--pooling",
    "engine": "--engine",
    "workers": "--workers",
    "n_carriers": "--carriers",
    "layer": "--layer",
    "rule": "--rule",
    "q": "--q",
    "max_features": "--max-features",
    "n_draws": "--draws",
    "n_shuffled": "--shuffled",
    "n_permutations": "--permutations",
    "folds": "--folds",
    "universal": "--universal",
    "cebra": "--cebra",
    "steering": "--steering",
    "seed": "--seed",
}
"""Field of `StudySpec` -> option."""

_WHAT, _MODEL, _TESTS = "What is studied", "Model and SAE", "Features and tests"


def study(
    model: Annotated[
        str,
        typer.Option(
            help="embedded (SmolLM2-135M-Instruct), a hub id, a folder or a GGUF file.", rich_help_panel=_WHAT
        ),
    ] = "embedded",
    revision: Annotated[str | None, typer.Option(help=REVISION, rich_help_panel=_WHAT)] = None,
    languages: Annotated[
        list[str],
        typer.Option(
            help="Comma-separated or repeated; all: every language with concept-sets.", rich_help_panel=_WHAT
        ),
    ] = ["en,zh"],  # noqa: B006
    norms: Annotated[
        list[str] | None,
        typer.Option(
            help="A bundled set or a file; repeatable. Languages without one keep their default set.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    categories: Annotated[
        str,
        typer.Option(
            help="all (42), basic (6), paper26, goemotions, or a file with a name a line.",
            rich_help_panel=_WHAT,
        ),
    ] = "all",
    concepts: Annotated[
        Path | None,
        typer.Option(help="Your own concept-sets: a TOML file or a folder of them.", rich_help_panel=_WHAT),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(help="Run folder; a run that stopped goes on from it.", rich_help_panel=_WHAT),
    ] = Path("runs/study"),
    sae: Annotated[
        str,
        typer.Option(
            help="auto (the shipped one, else none), none (dense directions), train, a SAELens folder, or "
            "release:id.",
            rich_help_panel=_MODEL,
        ),
    ] = "auto",
    sae_corpus: Annotated[
        list[Path] | None,
        typer.Option(help="Running text for --sae train; repeatable.", rich_help_panel=_MODEL),
    ] = None,
    sae_tokens: Annotated[
        int, typer.Option(help="Training tokens for --sae train.", rich_help_panel=_MODEL)
    ] = 2_000_000,
    dtype: Annotated[
        str,
        typer.Option(
            help="float32, bfloat16, float16, or auto: bfloat16 where it is fast.", rich_help_panel=_MODEL
        ),
    ] = "float32",
    device: Annotated[
        str,
        typer.Option(
            help="auto, a torch device, or map to spread over several GPUs.", rich_help_panel=_MODEL
        ),
    ] = "auto",
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code",
            help="Run code that comes with the model. Only if you trust its authors.",
            rich_help_panel=_MODEL,
        ),
    ] = False,
    template_arg: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help=TEMPLATE_ARG, rich_help_panel=_MODEL),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="Where words are run and layers fitted: local, ray (this machine's cluster), or ray://host:port.",
            rich_help_panel=_MODEL,
        ),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(help="Models the engine ray holds at once; else one a GPU.", rich_help_panel=_MODEL),
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option(
            help="Layer of dense directions, or of the SAE to train; else chosen by depth.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    pooling: Annotated[
        str, typer.Option(help="State of a word: last (its last token) or mean.", rich_help_panel=_MODEL)
    ] = "last",
    carriers: Annotated[
        int, typer.Option(help="Carrier sentences to average over.", rich_help_panel=_MODEL)
    ] = 3,
    rule: Annotated[
        str,
        typer.Option(help="Effect that orders features: rank, rate or standardised.", rich_help_panel=_TESTS),
    ] = "standardised",
    q: Annotated[
        float, typer.Option(help="False discovery rate of feature selection.", rich_help_panel=_TESTS)
    ] = 0.05,
    max_features: Annotated[
        int, typer.Option(help="Largest number of features in a space.", rich_help_panel=_TESTS)
    ] = 370,
    draws: Annotated[
        int, typer.Option(help="Matched draws of outside latents.", rich_help_panel=_TESTS)
    ] = 1000,
    shuffled: Annotated[
        int | None,
        typer.Option(
            help="Shuffled concept-sets; 5 with an SAE and 100 without unless given.", rich_help_panel=_TESTS
        ),
    ] = None,
    permutations: Annotated[
        int, typer.Option(help="Relabellings of categories.", rich_help_panel=_TESTS)
    ] = 9999,
    folds: Annotated[
        int, typer.Option(help="Folds of the nested cross-validation.", rich_help_panel=_TESTS)
    ] = 5,
    universal: Annotated[
        int | None,
        typer.Option(
            help="Languages in which a shared latent is a feature; else both of two, most of more.",
            rich_help_panel=_TESTS,
        ),
    ] = None,
    cebra: Annotated[
        bool, typer.Option("--cebra/--no-cebra", help="Fit CEBRA embeddings.", rich_help_panel=_TESTS)
    ] = True,
    steering: Annotated[
        bool,
        typer.Option(
            "--steering/--no-steering",
            help="Illustrate steering: six emotions on eight prompts a language, where the model has calibrated vectors.",
            rich_help_panel=_TESTS,
        ),
    ] = True,
    seed: Annotated[int, typer.Option(help="Of every random draw.", rich_help_panel=_TESTS)] = 0,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile", help="Print where the time went, and keep it in profile.json of the run folder."
        ),
    ] = False,
) -> None:
    """Study one model: from concept-sets to a report of how it represents emotion.

    Writes results.json, tables/ and report.html into the run folder. A study that was stopped goes on with the
    same command.
    """
    from emospace.study import StudySpec, run_study

    spec = build_spec(
        StudySpec,
        OPTIONS,
        {
            "model": model,
            "revision": revision,
            "languages": _languages(split(languages), concepts),
            "norms": tuple(norms or ()),
            "categories": categories,
            "concepts": concepts,
            "sae": sae,
            "sae_corpus": tuple(sae_corpus or ()),
            "sae_tokens": sae_tokens,
            "dtype": dtype,
            "device": device,
            "trust_remote_code": trust_remote_code,
            "template_args": template_args_of(template_arg),
            "pooling": pooling,
            "engine": engine,
            "workers": workers,
            "n_carriers": carriers,
            "layer": layer,
            "rule": rule,
            "q": q,
            "max_features": max_features,
            "n_draws": draws,
            "n_shuffled": shuffled,
            "n_permutations": permutations,
            "folds": folds,
            "universal": universal,
            "cebra": cebra,
            "steering": steering,
            "seed": seed,
        },
    )
    folder = run_folder(out)
    command = command_line("emospace study", spec, OPTIONS, out)
    with kept_profile(folder, "emospace study") if profile else nullcontext():
        results = run_study(spec, folder, command=command)
        from emospace.cli.closing import show_results
        from emospace.report import write_report

        show_results(results)
        with timed("report"):
            page = write_report(folder)
    say(f"Report: {page}")


@contextmanager
def kept_profile(folder: Path, name: str) -> Iterator[None]:
    """Print where the time of what runs within went, and write it to profile.json, also where it fails."""
    from emospace.artefacts import write_json
    from emospace.profiling import Timing, profile

    whole = Timing(name)
    try:
        with profile(whole):
            yield
    finally:
        write_json(folder / "profile.json", whole.as_json())
        table("Where the time went", ("part", "seconds", "calls", "counted"), whole.rows())


def _languages(asked: tuple[str, ...], concepts: Path | None) -> tuple[str, ...]:
    if asked != ("all",):
        return asked
    from emospace.concepts import load_concepts

    return load_concepts(path=concepts).languages


def report(
    run: Annotated[Path, typer.Argument(help="Run folder of a study.")],
    figures: Annotated[
        bool, typer.Option("--figures", help="Also draw the figures for a paper (PDF and PNG).")
    ] = False,
) -> None:
    """Write the report of a finished study again, from its results.json and tables."""
    from emospace.report import write_report

    say(f"Report: {write_report(run)}")
    if figures:
        from emospace.report import figures as draw

        for path in draw(run):
            say(f"Figure: {path}")
