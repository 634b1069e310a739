"""Predicting people's ratings of words: where in the model, from which features, word by word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from emospace.records import ComparisonRecord, PredictionRecord, headline, matching, targets_of
from emospace.report import charts
from emospace.report.blocks import Block, Chart, Figures, Panel, Prose, Reason
from emospace.report.columns import Column, build, ci, counts, language_column, p, score, shares
from emospace.report.languages import by_language
from emospace.report.run import Absent, Run, or_reason
from emospace.report.texts import panel, phrase, prose
from emospace.report.wording import (
    FEATURE_SETS,
    MANY,
    figure,
    language_name,
    percent,
    plain_name,
    set_name,
    upper_first,
)

SCORED = {True: ("out", "concept words out of the test folds"), False: ("in", "all words")}
"""By whether concept words are out of the test folds: the key of a figure's variant, and its name."""
DRAWS = ("language", "norms", "target", "excluded_concepts", "kind", "r")
CURVES = ("language", "norms", "target", "layer", "r")
WORDS = ("language", "norms", "word", "target", "observed", "predicted")


@or_reason("Layer curves")
def layers(run: Run) -> Iterator[Block]:
    """Yield r of ridge on the dense states of each layer, a figure a language."""
    yield prose("text-layers")
    languages = run.table("layer_curve", CURVES)["language"].unique()
    panels = {str(language): _layers_panel(run, str(language)) for language in languages}
    if len(panels) < MANY:
        yield Figures(list(panels.values()))
    else:
        yield from by_language({code: [Figures([panel])] for code, panel in panels.items()})


@or_reason("Layer curves")
def layer_figures(run: Run, language: str, layer: int | None = None) -> Iterator[Block]:
    """Yield r over the layers of one language, with the layer that the folds chose most, or another, marked."""
    if language not in set(run.table("layer_curve", CURVES)["language"]):
        raise Absent("no ratings were predicted in this language")
    yield Figures([_layers_panel(run, language, layer)])


def _layers_panel(run: Run, language: str, layer: int | None = None) -> Panel:
    table, prediction = run.table("layer_curve", CURVES), run.results.prediction
    part = table[table["language"] == language]
    used = headline(prediction, language, targets_of(prediction)[0]) if prediction else {}
    if layer is None and used:
        layer = used["space"].layer
    sizes = {name: matching(prediction, language=language, norms=name) for name in part["norms"].unique()}
    n = [phrase("predicted.norms", norms=k, n=max(r.n for r in rows)) for k, rows in sizes.items() if rows]
    best = part.sort_values("r", kind="stable").to_dict("records")[-1]
    return panel(
        f"layers-{language}",
        charts.layer_curve(part, layer),
        text="layers",
        language=language,
        peak=phrase(
            "predicted.peak",
            layer=int(best["layer"]),
            r=best["r"],
            target=best["target"],
            norms=best["norms"],
        ),
        n=f"{'; '.join(n)}." if n else "",
    )


NORMED = (language_column(), Column("Norms", "norms"), Column("Rating", "target"))
"""What rating a figure is of."""


def _test_words(record: PredictionRecord | ComparisonRecord) -> str:
    return "concepts out" if record.excluded_concepts else "all"


PREDICTION = (
    *NORMED,
    Column("Features", set_name, note=lambda r: FEATURE_SETS[r.features][2]),
    Column("Test words", _test_words),
    score("r", "r", note="reason"),
    ci(lambda r: charts.bounds(r)[1], lambda r: charts.bounds(r)[2], "95% interval"),
    score("R²", "r2"),
    p("p (FDR)", lambda r: r.p if r.p_fdr is None else r.p_fdr),
    counts("Words", "n"),
    counts("Features used", "n_features"),
    Column("Layer", "layer", numeric=True, note="layers_chosen"),
    shares("Draws beaten", "draws_beaten"),
    score("Disattenuated r", "disattenuated_r"),
)


COMPARISON = (
    *NORMED,
    Column("Test words", _test_words),
    Column("Set", lambda c: FEATURE_SETS[c.features][0]),
    Column(
        "Against",
        lambda c: (
            FEATURE_SETS[c.against][0] + (f" ({plain_name(c.static_source)})" if c.static_source else "")
        ),
    ),
    score("Difference in r", "difference", note="reason"),
    ci(),
    p("p", "p"),
    Column("As well as", lambda c: {None: None, True: "yes", False: "not shown"}[c.equivalent]),
    counts("Words", "n"),
)


AGREEMENT = (
    *NORMED,
    Column("Against the norms", "against"),
    score("People, r", "r", note="reason"),
    ci(),
    score("Emotion space, r", "r_space"),
    score("Dense states, r", "r_dense"),
    counts("Words", "n"),
    counts("Words of the model", "n_model"),
)


def prediction(run: Run) -> Iterator[Block]:
    """Yield r of each feature set with its controls, and the tables of all figures and differences."""
    records, compared = run.results.prediction, run.results.comparison
    if not records:
        yield Reason("Prediction of ratings", "results.json holds no prediction figure")
        return
    norms = [(name, run.note(name)) for language in run.languages for name in run.norms(language)]
    notes = [f"{name}: {note}." for name, note in norms if note]
    yield Prose([*prose("text-prediction").paragraphs, *notes])
    bars: dict[str, list[Block]] = {
        language: [prediction_figures(run, language, norms) for norms in run.norms(language)]
        for language in run.languages
    }
    drawn: dict[str, list[Block]] = {
        language: list(draw_figures(run, language)) for language in run.languages
    }
    if len(run.languages) < MANY:
        yield from by_language(bars)
        yield from by_language(drawn)
    else:
        yield from by_language({language: [*bars[language], *drawn[language]] for language in bars})
    if compared:
        margins = {c.margin for c in compared if c.margin is not None}
        yield build(
            "table-comparison",
            COMPARISON,
            compared,
            searched=len(run.languages) >= MANY,
            within=f" ±{figure(margins.pop())}" if len(margins) == 1 else " the margin",
        )
    if run.results.norms_agreement:
        yield build("table-norms-agreement", AGREEMENT, run.results.norms_agreement)
    yield build("table-prediction", PREDICTION, records, strong=lambda r: r.features == "space")


def prediction_figures(run: Run, language: str, norms: str) -> Figures:
    """Return r of each feature set for the ratings of one norms set."""
    panels = [_bars_panel(run, language, norms, target) for target in run.targets(language, norms)]
    scored = {record.excluded_concepts for record in run.results.prediction}
    return _scored(panels, scored, f"{language_name(language)}, {norms}")


def _scored(panels: Sequence[Panel], scored: set[bool], heading: str) -> Figures:
    """Return panels with a variant for each way of scoring."""
    switch = [SCORED[excluded] for excluded in sorted(scored, reverse=True)]
    return Figures(panels, heading=heading, switch=switch, switch_label="Scored on", group="folds")


def _bars_panel(run: Run, language: str, norms: str, target: str) -> Panel:
    variants: dict[str, Sequence[PredictionRecord]] = {}
    parts, alt = [], []
    for excluded, (key, label) in SCORED.items():
        records = run.panel(language, norms, target, excluded)
        if not records:
            continue
        variants[key] = records
        parts.append(phrase("predicted.norms", norms=label, n=max(r.n for r in records)))
        r = {record.features: record for record in records if record.r is not None}
        if space := r.pop("space", None):
            others = [f"{FEATURE_SETS[name][0].lower()} {figure(r[name].r)}" for name in r]
            alt.append(phrase("predicted.space", label=label, r=space.r, others=", ".join(others)))
            if space.draws_beaten is not None:
                parts[-1] += f", space above {percent(space.draws_beaten)} of matched draws"
    return panel(
        f"bars-{language}-{norms}-{target}",
        charts.prediction_bars(variants),
        text="bars",
        target=target,
        caption=f"{upper_first('; '.join(parts))}.",
        sets=". ".join(alt),
    )


def draw_figures(run: Run, language: str) -> Iterator[Block]:
    """Yield where the space stands among the draws of its controls, in one language."""
    try:
        table = run.table("draws", DRAWS)
    except Absent as reason:
        if language == run.languages[0]:
            yield Reason("Distribution of the matched draws", str(reason))
        return
    table = table[(table["language"] == language) & (table["kind"] != "outside_shared")]
    panels = []
    for (norms, target), part in table.groupby(["norms", "target"], sort=False):
        variants, parts = {}, []
        for flag, draws in sorted(part.groupby("excluded_concepts"), key=lambda pair: not pair[0]):
            key, label = SCORED[bool(flag)]
            records = run.panel(language, str(norms), str(target), bool(flag))
            space = next((record for record in records if record.features == "space"), None)
            variants[key] = charts.draws(draws, space.r if space else None)
            parts += [phrase("predicted.norms", norms=label, n=space.n)] if space and space.n else []
        panels.append(
            panel(
                f"draws-{language}-{norms}-{target}",
                Chart(variants, height=300),
                text="draws",
                target=str(target),
                norms=norms,
                caption=f"{upper_first('; '.join(parts))}." if parts else "",
            )
        )
    if panels:
        scored = set(map(bool, table["excluded_concepts"]))
        yield _scored(panels, scored, f"{language_name(language)}: the space among its controls")


@or_reason("Words")
def words(run: Run) -> Iterator[Block]:
    """Yield predicted and observed ratings, a point a word."""
    languages = run.table("predictions", WORDS)["language"].unique()
    yield prose("text-words", most=charts.MAX_POINTS)
    yield from by_language({str(name): list(word_figures(run, str(name))) for name in languages})


@or_reason("Words")
def word_figures(run: Run, language: str) -> Iterator[Block]:
    """Yield predicted and observed ratings of one language, the panels of each norms set together."""
    table = run.table("predictions", WORDS)
    columns = {"space": "predicted"}
    if "predicted_dense" in table.columns and table["predicted_dense"].notna().any():
        columns["dense"] = "predicted_dense"
    switch = [(key, FEATURE_SETS[key][0]) for key in columns] if len(columns) > 1 else []
    for norms, part in table[table["language"] == language].groupby("norms", sort=False):
        panels = []
        for target, rated in part.groupby("target", sort=False):
            whole = rated.dropna(subset=["observed", "predicted"])
            if len(whole) < 3:
                continue
            records = run.panel(language, str(norms), str(target), excluded=False)
            r = {record.features: record for record in records if record.features in columns}
            figures = [
                f"{FEATURE_SETS[key][0].lower()} r = {figure(r[key].r)}, " for key in columns if key in r
            ]
            panels.append(
                panel(
                    f"words-{language}-{norms}-{target}",
                    charts.observed_predicted(whole, columns, run.results.manifest.seed, language),
                    text="words",
                    target=target,
                    figures=upper_first("".join(figures)),
                    n=len(whole),
                )
            )
        if panels:
            heading = f"{language_name(language)}, {norms}"
            yield Figures(panels, heading=heading, switch=switch, switch_label="Predicted from", group="from")
        else:
            yield Reason(f"Words of {norms}", "fewer than three of them have both a rating and a prediction")
