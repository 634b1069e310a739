"""`emospace study` and `emospace report`: the whole way for one model, and its page again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from emospace.cli.options import command_line, run_folder, split, takes
from emospace.display import say, table, texts, written
from emospace.errors import InvalidInput
from emospace.profiling import timed
from emospace.specs import WHAT, StudySpec

LARGE = 0.1
"""Gigabytes of states that are worth a word at the end."""


@takes(StudySpec)
def study(
    spec: StudySpec,
    out: Annotated[
        Path,
        typer.Option(help="Run folder; a run that stopped goes on from it.", rich_help_panel=WHAT),
    ] = Path("runs/study"),
    profile: Annotated[
        bool,
        typer.Option(
            "--profile", help="Print where the time went, and keep it in profile.json of the run folder."
        ),
    ] = False,
) -> None:
    """Study one model: from concept-sets to a report of how it represents emotion.

    Writes results.json, tables/, spec.json and report.html into the run folder. A study that was stopped goes on with
    the same command; `--config runs/first/spec.json` does the study of another run again.
    """
    from emospace.study import run_study

    if spec.languages == ("all",):
        from emospace.concepts import load_concepts

        spec = spec.model_copy(update={"languages": load_concepts(path=spec.concepts).languages})
    folder = run_folder(out)
    command = command_line("emospace study", spec, out)
    with kept_profile(folder, "emospace study") if profile else nullcontext():
        results = run_study(spec, folder, command=command)
        from emospace.cli.tables import show_results
        from emospace.report import write_report

        show_results(results)
        with timed("report"):
            page = write_report(folder)
    written("Report", page)
    states = folder / "activations"
    size = sum(path.stat().st_size for path in states.rglob("*") if path.is_file()) / 1e9
    if size > LARGE:
        say(
            f"{states} holds {size:.1f} GB of states. They make the same study with other settings faster; delete them at will."
        )


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


def report(
    run: Annotated[Path, typer.Argument(help="Run folder of a study.")],
    figures: Annotated[
        bool, typer.Option("--figures", help="Also draw the figures for a paper (PDF and PNG).")
    ] = False,
    methods: Annotated[
        bool,
        typer.Option("--methods", help="Also write methods.md, to be pasted, and its references.bib."),
    ] = False,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Also print it as PDF, by an installed Chromium or Chrome.")
    ] = False,
    sections: Annotated[
        str, typer.Option(help="Of --pdf: anchors of the page, comma-separated: answer,prediction.")
    ] = "",
) -> None:
    """Write the report of a finished study again, from its results.json and tables.

    For example:

    emospace report runs/first --methods

    emospace report runs/first --pdf --sections answer,manifest
    """
    from emospace.report import write_methods, write_pdf, write_report

    if sections and not pdf:
        raise InvalidInput("--sections", "it says what --pdf prints", "Give --pdf too, or leave it out.")
    page = write_report(run)
    written("Report", page)
    if pdf:
        written("PDF", write_pdf(page, split([sections])))
    if methods:
        text, references = write_methods(run)
        texts({"methods": [text.read_text(encoding="utf-8")]})
        written("Methods", text)
        written("References", references)
    if figures:
        from emospace.report import figures as draw

        for path in draw(run):
            written("Figure", path)
