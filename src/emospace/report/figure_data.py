"""The report's figures as data, a part of a language at a time, for pages that draw them themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from emospace.errors import unknown
from emospace.report.blocks import Block, Figures, Reason, flat
from emospace.report.languages import languages_section
from emospace.report.planes import BASIC, plane_figures
from emospace.report.predicted import draw_figures, layer_figures, prediction_figures, word_figures
from emospace.report.run import Run
from emospace.report.sections import circumplex_figures, rdm_figures
from emospace.report.steering import steering_section
from emospace.report.transfer import crossing_section

OF_LANGUAGE: Mapping[str, Callable[[Run, str, int | None], Iterator[Block]]] = {
    "circumplex": lambda run, language, _: circumplex_figures(run, language),
    "rdms": rdm_figures,
    "layers": layer_figures,
    "prediction": lambda run, language, _: (
        prediction_figures(run, language, norms) for norms in run.norms(language)
    ),
    "draws": lambda run, language, _: draw_figures(run, language),
    "words": lambda run, language, _: word_figures(run, language),
}
"""Parts of the report that show one language at a time."""

OF_RUN: Mapping[str, Callable[[Run], Iterator[Block]]] = {
    "languages": languages_section,
    "steering": lambda run: (
        block for section in (*crossing_section(run), *steering_section(run)) for block in section.blocks
    ),
}
"""Parts that show all languages at once."""

PARTS = ("plane", *OF_LANGUAGE, *OF_RUN)


def run_figures(
    run: Run,
    part: str,
    languages: tuple[str, ...] = (),
    layer: int | None = None,
    categories: str = BASIC,
    people: bool = True,
) -> dict[str, Any]:
    """Return the figures of one part of a run as `figure_data` gives them.

    Parameters
    ----------
    part
        One of `PARTS`.
    languages
        ISO 639-1 codes of languages of the run; ``plane`` shows all of them in one figure, and people alone without
        any; ``languages`` and ``steering`` are of all; the others are of the run's first unless some are given.
    layer
        Blocks passed: whose dense states stand for the model in ``plane`` and ``rdms``, which one is marked in
        ``layers``. The run's own unless given.
    categories
        ``basic``, ``all``, or the one that stands out: of ``plane``.
    people
        Whether people stand beside the languages of ``plane``.

    Raises
    ------
    EmospaceError
        If there is no such part, or the run has no such language.
    """
    if part not in PARTS:
        raise unknown("part of the report", part, PARTS)
    for language in languages:
        if language not in run.languages:
            raise unknown("language of the run", language, run.languages)
    if part == "plane":
        return figure_data(plane_figures(run, languages, layer, categories, people))
    if part in OF_RUN:
        return figure_data(OF_RUN[part](run))
    shown = languages or run.languages[:1]
    return figure_data(block for language in shown for block in OF_LANGUAGE[part](run, language, layer))


def figure_data(blocks: Iterable[Block]) -> dict[str, Any]:
    """Return the figures among blocks as JSON in reading order, and why others are missing.

    ``variants`` holds Plotly's data and layout, colours as names of CSS variables; ``switch`` names the variants.
    """
    given = list(flat(blocks))
    figures = [
        {
            "key": panel.key,
            "heading": panel.heading,
            "of": block.heading,
            "caption": panel.caption,
            "alt": panel.alt,
            "shape": panel.chart.shape,
            "height": panel.chart.height,
            "switch": [list(pair) for pair in block.switch],
            "options": panel.chart.options,
            "variants": panel.chart.variants,
        }
        for block in given
        if isinstance(block, Figures)
        for panel in block.panels
    ]
    missing = [{"what": block.what, "why": block.why} for block in given if isinstance(block, Reason)]
    return {"data": figures, "missing": missing}
