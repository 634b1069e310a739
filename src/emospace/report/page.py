"""The page: sections rendered into one HTML file that opens offline."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from emospace.artefacts import jsonable, write_text
from emospace.report.blocks import Block, Code, Figures, Reason, Section, flat
from emospace.report.manifest import manifest_tables
from emospace.report.run import Run, load_run
from emospace.report.sections import sections
from emospace.report.steering import is_steering_run
from emospace.report.steering_languages import is_crossing_run
from emospace.report.wording import count, counted, language_name, listed


def write_report(run_dir: Path | str) -> Path:
    """Write `report.html` into a run folder from its `results.json` and tables, and return its path.

    The page holds its style, script and plotly.js, asks nothing of the network, and depends on nothing but
    the run folder: the same folder gives the same bytes. A table that is absent leaves its section with the
    reason.

    Parameters
    ----------
    run_dir
        Folder of a finished study, or of an evaluation of steering.

    Raises
    ------
    EmospaceError
        If the folder has no `results.json`, or one that this version cannot read.
    """
    run = load_run(run_dir)
    path = run.folder / "report.html"
    write_text(path, render(run))
    return path


def render(run: Run) -> str:
    """Return the page of a run as HTML."""
    eyebrow = "emospace study"
    if is_steering_run(run):
        eyebrow = "emospace steer languages" if is_crossing_run(run) else "emospace steer evaluate"
    return render_page(run.title, eyebrow, _summary(run), [*sections(run), _manifest(run)])


def render_page(title: str, eyebrow: str, summary: str, parts: Sequence[Section]) -> str:
    """Return sections in the frame all pages share, as HTML.

    Parameters
    ----------
    eyebrow
        The command a page comes from.
    """
    import jinja2

    folder = files("emospace.report")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    charts = _charts(block for part in parts for block in part.blocks)
    page = environment.get_template("page.html").render(
        model=title,
        eyebrow=eyebrow,
        summary=summary,
        sections=parts,
        style=_read("palette.css", "page.css"),
        script=_read("figures.js", "page.js"),
        plotly=_plotly() if charts else "",
        charts=script_json(charts),
    )
    return page.lstrip()


def _summary(run: Run) -> str:
    languages = listed([language_name(code) for code in run.languages]) or "no language"
    if is_steering_run(run):
        targets = len({record.emotion for record in run.results.steering})
        judges = listed(list(dict.fromkeys(f"“{record.judge}”" for record in run.results.steering)))
        return f"Steering towards {counted(targets, 'emotion')} in {languages}, judged by {judges}; concept-sets {run.provenance}."
    sae = run.results.sae
    latents = f"{count(sae.n_latents)} latents" if sae and sae.n_latents else "no sparse autoencoder"
    layer = run.results.model.layer
    where = "" if layer is None else f", layer {layer}"
    chosen = [run.results.manifest.category_list, f"{run.provenance} concept-sets"]
    return f"Emotion concepts in {languages}{where}, {latents}; {', '.join(filter(None, chosen))}."


def _manifest(run: Run) -> Section:
    blocks: list[Block] = [
        Code(run.results.manifest.command, heading="Command that makes these figures again")
    ]
    blocks += manifest_tables(run)
    if not run.results.manifest.sources:
        blocks.append(Reason("Sources", "the manifest names none"))
    return Section("manifest", "What these figures rest on", "Manifest", blocks)


def _charts(blocks: Iterable[Block]) -> dict[str, Any]:
    return {
        panel.key: {
            "variants": panel.chart.variants,
            "shape": panel.chart.shape,
            "options": panel.chart.options,
        }
        for block in flat(blocks)
        if isinstance(block, Figures)
        for panel in block.panels
    }


def script_json(value: Any) -> str:
    """Return JSON that can stand inside a script element whatever the words in it are."""
    text = json.dumps(jsonable(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _read(*names: str) -> str:
    return "".join((files("emospace.report") / name).read_text(encoding="utf-8") for name in names)


def _plotly() -> str:
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
