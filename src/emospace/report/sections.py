"""The sections of the report: each takes the run and gives blocks, or the reason it has none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from emospace.records import PredictionRecord, geometry, headline, targets_of
from emospace.report import charts, findings
from emospace.report.blocks import (
    Block,
    Cards,
    Chart,
    Figures,
    Panel,
    Part,
    Prose,
    Reason,
    Section,
    build_sections,
)
from emospace.report.languages import by_language, languages_section
from emospace.report.run import Absent, Run, or_reason
from emospace.report.steering import is_steering_run, reading_section, steering_page, steering_section
from emospace.report.tables import (
    alignment_table,
    auc_table,
    comparison_table,
    counts_table,
    dictionary_table,
    missing_table,
    prediction_table,
)
from emospace.report.texts import panel, prose
from emospace.report.transfer import crossing_section
from emospace.report.verdict import answer_table, answers_in_words, overview_table
from emospace.report.wording import (
    FEATURE_SETS,
    MANY,
    counted,
    figure,
    interval,
    language_name,
    listed,
    p_clause,
    percent,
    structure_name,
    upper_first,
)

if TYPE_CHECKING:
    import pandas as pd

CIRCUMPLEX = ("category", "human_valence", "human_arousal", "human_source", "model_x", "model_y")
NO_NORMS = "no norms rate enough of its categories"
WORDS_OUT, WORDS_IN = "concept words out of the test folds", "all words"


def sections(run: Run) -> tuple[Section, ...]:
    """Return the sections in reading order; `manifest` is added by the page."""
    missing = Section("missing", "What was not computed, and why", "Not computed", tuple(_missing(run)))
    if is_steering_run(run):
        return (*steering_page(run), *reading_section(run), missing)
    made: tuple[Part[Run], ...] = (
        ("answer", "Does the model represent emotion as people do?", "Answer", _answer),
        ("circumplex", "Categories on valence and arousal", "Circumplex", _circumplex),
        ("rdms", "Which categories are alike", "Similarity", _rdms),
        ("layers", "Where in the model ratings can be read", "Layers", _layers),
        ("prediction", "Predicting people's ratings of words", "Prediction", _prediction),
        ("words", "Predicted and observed ratings, word by word", "Words", _words),
        ("dictionary", "Feature dictionary", "Dictionary", _dictionary),
        ("languages", "One language against another", "Languages", languages_section),
    )
    study = build_sections(run, made)
    return (*study, *crossing_section(run), *steering_section(run), *reading_section(run), missing)


def _answer(run: Run) -> Iterator[Block]:
    many = len(run.languages) >= MANY
    yield Prose(answers_in_words(run.results, run.title), role="answers")
    if many and (left_out := findings.left_out(run)):
        yield Prose(left_out)
    lines = {language: findings.language_line(run, language) for language in run.languages}
    answered = [verdict.language for verdict in run.results.verdicts if verdict.about is not None]
    if not many:
        if answered:
            yield answer_table(run.results, run.languages)
        if shown := [line for line in lines.values() if line]:
            yield Prose(shown)
    else:
        if answered:
            yield overview_table(run.results, run.languages)
        parts: dict[str, list[Block]] = {language: [] for language in lines}
        for language, line in lines.items():
            if language in answered:
                rule = f"The answers in {language_name(language)} with their figures, by the rule above."
                key = f"table-answers-{language}"
                parts[language].append(answer_table(run.results, [language], key, rule))
            parts[language] += [Prose([line])] if line else []
        yield from by_language({language: blocks for language, blocks in parts.items() if blocks})
    if made := findings.cards(run):
        yield Cards(made)
    else:
        yield Reason("Key figures", "results.json holds no prediction or alignment figure")


@or_reason("Circumplex")
def _circumplex(run: Run) -> Iterator[Block]:
    yield prose("text-circumplex", provenance=run.provenance)
    languages = run.table("circumplex", ("language", *CIRCUMPLEX))["language"].unique()
    yield from by_language({str(name): list(circumplex_figures(run, str(name))) for name in languages})
    if without := [language_name(name) for name in run.languages if name not in languages]:
        yield Reason(listed(without), NO_NORMS)


@or_reason("Circumplex")
def circumplex_figures(run: Run, language: str) -> Iterator[Block]:
    """Yield the categories of one language in people and in the model, or the reason there are none."""
    table = run.table("circumplex", ("language", *CIRCUMPLEX))
    part = basic_marked(run, table[table["language"] == language])
    if part.empty:
        raise Absent(NO_NORMS)
    yield _circumplex_figures(run, language, part)


def basic_marked(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with a column ``basic``; where it has none, the feature records say which are."""
    if "basic" in table.columns:
        return table
    basic = {record.category for record in run.results.features if record.basic}
    return table.assign(basic=table["category"].isin(basic))


def _circumplex_figures(run: Run, language: str, part: pd.DataFrame) -> Figures:
    rated = part.dropna(subset=["human_valence", "human_arousal"]).reset_index(drop=True)
    placed = part.dropna(subset=["model_x", "model_y"]).reset_index(drop=True)
    derived = int((rated["human_source"].astype(str) == "derived").sum())
    procrustes = run.alignment(
        lambda r: (
            (r.language, r.statistic, r.space) == (language, "procrustes", run.main_space)
            and r.value is not None
        )
    )
    fit = ""
    if procrustes:
        fit = f" Procrustes fit {figure(procrustes[0].value)}"
        fit += f", {p_clause(procrustes[0].p)}." if procrustes[0].p is not None else "."
    people = charts.circumplex(rated, "human_valence", "human_arousal", ("valence", "arousal"))
    model = charts.circumplex(placed, "model_x", "model_y", ("valence direction", "arousal direction"))
    corners = "Pleasant categories lie to the right, exciting ones above."
    panels = [
        panel(
            f"circumplex-{language}-people",
            people,
            text="circumplex-people",
            counted=counted(len(rated), "category"),
            derived=derived,
            n=len(rated),
            corners=corners,
        ),
        panel(
            f"circumplex-{language}-model",
            model,
            text="circumplex-model",
            heading=run.title,
            counted=counted(len(placed), "category"),
            fit=fit,
            n=len(placed),
        ),
    ]
    return Figures(panels, heading=language_name(language))


def _rdms(run: Run) -> Iterator[Block]:
    yield prose("text-rdms")
    yield from by_language({language: list(rdm_figures(run, language)) for language in run.languages})
    if run.results.alignment:
        yield alignment_table(run)
    else:
        yield Reason("Table of alignment", "results.json holds no alignment figure")


def rdm_figures(run: Run, language: str) -> Iterator[Block]:
    """Yield the RDMs of one language in one order, the model's first, or why they are not given."""
    try:
        model = run.rdm(f"rdm_{language}")
    except Absent as absent:
        yield Reason(f"Similarity of categories in {language_name(language)}", str(absent))
        return
    human: dict[str, pd.DataFrame] = {}
    unread = []
    for against in run.human_structures(language):
        try:
            human[against] = run.rdm(f"rdm_human_{language}_{against}")
        except Absent as absent:
            what = f"{upper_first(structure_name(against))} in {language_name(language)}"
            unread.append(Reason(what, str(absent)))
    order = category_order(model, human)
    panels = [
        panel(
            f"rdm-{language}-model",
            charts.rdm(model, order, first=True),
            text="rdm-model",
            heading=run.title,
            counted=counted(len(model), "category"),
            n=len(model),
        )
    ]
    for against, square in human.items():
        caption = _rsa_caption(run, language, against)
        panels.append(
            panel(
                f"rdm-{language}-{against}",
                charts.rdm(square, order, first=False),
                text="rdm",
                heading=upper_first(structure_name(against)),
                caption=caption,
                n=len(square),
            )
        )
    yield Figures(panels, columns=max(3, len(panels)), heading=language_name(language), group="rdm")
    yield from unread


def _rsa_caption(run: Run, language: str, against: str) -> str:
    record = geometry(run.results.alignment, language, against)
    if record is None:
        reasons = [
            r.reason
            for r in run.results.alignment
            if (r.language, r.against) == (language, against) and r.reason
        ]
        return f"No RSA was given: {reasons[0] if reasons else 'results.json holds none for this structure'}."
    parts = [f"RSA with the model {figure(record.value)}"]
    if record.ci_low is not None:
        parts.append(f"95% CI {interval(record.ci_low, record.ci_high)}")
    parts += [p_clause(record.p), f"n = {counted(record.n, 'category')}"]
    return f"{', '.join(filter(None, [*parts, *findings.beside(run, record)]))}."


def category_order(model: pd.DataFrame, human: dict[str, pd.DataFrame]) -> list[str]:
    """Return the model's categories in clustering order of the first human RDM, those it lacks at the end."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    base = next(iter(human.values()), model)
    names = [name for name in base.index if name in model.index]
    square = base.loc[names, names].to_numpy(dtype=float)
    rest = [name for name in model.index if name not in names]
    if len(names) < 3 or not np.isfinite(square).all():
        return names + rest
    square = (square + square.T) / 2
    np.fill_diagonal(square, 0.0)
    tree = linkage(squareform(square, checks=False), method="average", optimal_ordering=True)
    return [names[place] for place in leaves_list(tree)] + rest


@or_reason("Layer curves")
def _layers(run: Run) -> Iterator[Block]:
    yield prose("text-layers")
    table = run.table("layer_curve", ("language", "norms", "target", "layer", "r"))
    panels = {}
    for language, part in table.groupby("language", sort=False):
        code = str(language)
        used = (
            headline(run.results.prediction, code, targets_of(run.results.prediction)[0])
            if run.results.prediction
            else {}
        )
        best = part.sort_values("r", kind="stable").iloc[-1]
        sizes = {name: _n_words(run, code, name) for name in dict.fromkeys(part["norms"].astype(str))}
        parts = [f"{name}: n = {counted(n, 'word')}" for name, n in sizes.items() if n]
        peak = f"Highest: layer {int(best['layer'])}, r = {figure(float(best['r']))} ({best['target']}, {best['norms']})."
        panels[code] = panel(
            f"layers-{code}",
            charts.layer_curve(part, used["space"].layer if used else None),
            text="layers",
            heading=language_name(code),
            peak=peak,
            value="; ".join(parts),
            value2="." if parts else "",
            language=language_name(code),
        )
    if len(panels) < MANY:
        yield Figures(list(panels.values()))
    else:
        yield from by_language({code: [Figures([panel])] for code, panel in panels.items()})


def _n_words(run: Run, language: str, norms: str) -> int:
    records = [r for r in run.results.prediction if (r.language, r.norms) == (language, norms)]
    return max((record.n for record in records), default=0)


def _prediction(run: Run) -> Iterator[Block]:
    if not run.results.prediction:
        yield Reason("Prediction of ratings", "results.json holds no prediction figure")
        return
    yield Prose(
        [
            "Ridge regression from each set of features to the ratings; penalty, and layer for dense states, are chosen inside each fold. "
            "Blue sets are chosen with concept-sets; grey sets are their controls of the same size; orange sets are "
            "what other representations carry. Whiskers are 95% intervals, for controls made of many draws the "
            "central 95% of the draws; the grey band repeats that of the matched draws. The green line is the highest r that "
            "the ratings' own reliability allows.",
            *(
                f"{norms}: {note}."
                for language in run.languages
                for norms in run.norms(language)
                if (note := run.note(norms))
            ),
        ]
    )
    bars: dict[str, list[Block]] = {
        language: [prediction_figures(run, language, norms) for norms in run.norms(language)]
        for language in run.languages
    }
    drawn: dict[str, list[Block]] = {language: list(_draws(run, language)) for language in run.languages}
    if len(run.languages) < MANY:
        yield from by_language(bars)
        yield from by_language(drawn)
    else:
        yield from by_language({language: [*bars[language], *drawn[language]] for language in bars})
    if run.results.comparison:
        yield comparison_table(run)
    yield prediction_table(run)


def prediction_figures(run: Run, language: str, norms: str) -> Figures:
    """Return r of each feature set for the ratings of one norms set."""
    excluded = dict.fromkeys(record.excluded_concepts for record in run.results.prediction)
    return Figures(
        [_bars_panel(run, language, norms, target) for target in run.targets(language, norms)],
        heading=f"{language_name(language)}, {norms}",
        switch=[(_words_key(flag), _words_label(flag)) for flag in sorted(excluded, reverse=True)],
        switch_label="Scored on",
        group="folds",
    )


def _words_key(excluded: bool) -> str:
    return "out" if excluded else "in"


def _words_label(excluded: bool) -> str:
    return WORDS_OUT if excluded else WORDS_IN


def _bars_panel(run: Run, language: str, norms: str, target: str) -> Panel:
    variants: dict[str, Sequence[PredictionRecord]] = {}
    parts, alt = [], []
    for flag in (True, False):
        records = run.panel(language, norms, target, flag)
        if not records:
            continue
        variants[_words_key(flag)] = records
        parts.append(f"{_words_label(flag)}: n = {counted(max(r.n for r in records), 'word')}")
        r = {record.features: record for record in records if record.r is not None}
        if "space" in r:
            others = [f"{FEATURE_SETS[name][0].lower()} {figure(r[name].r)}" for name in r if name != "space"]
            alt.append(f"{_words_label(flag)}: emotion space r {figure(r['space'].r)}; {', '.join(others)}")
            if r["space"].draws_beaten is not None:
                parts[-1] += f", space above {percent(r['space'].draws_beaten)} of matched draws"
    key = f"bars-{language}-{norms}-{target}"
    alt_text = f"Bar chart of correlation with human {target}. {'. '.join(alt)}."
    return Panel(
        key,
        upper_first(target),
        f"{upper_first('; '.join(parts))}.",
        alt_text,
        charts.prediction_bars(variants),
    )


def _draws(run: Run, language: str) -> Iterator[Block]:
    columns = ("language", "norms", "target", "excluded_concepts", "kind", "r")
    try:
        table = run.table("draws", columns)
    except Absent as reason:
        if language == run.languages[0]:
            yield Reason("Distribution of the matched draws", str(reason))
        return
    table = table[(table["language"] == language) & (table["kind"] != "outside_shared")]
    panels, seen = [], set()
    for (norms, target), part in table.groupby(["norms", "target"], sort=False):
        variants, sizes = {}, {}
        for flag, draws in sorted(part.groupby("excluded_concepts"), key=lambda pair: not pair[0]):
            records = run.panel(language, str(norms), str(target), bool(flag))
            space = next((record for record in records if record.features == "space"), None)
            variants[_words_key(bool(flag))] = charts.draws(draws, space.r if space else None)
            sizes[_words_label(bool(flag))] = space.n if space else None
            seen.add(bool(flag))
        parts = [f"{label}: n = {counted(n, 'word')}" for label, n in sizes.items() if n]
        panels.append(
            panel(
                f"draws-{language}-{norms}-{target}",
                Chart(variants, height=300),
                text="draws",
                rating=upper_first(str(target)),
                norms=norms,
                caption=f"{upper_first('; '.join(parts))}." if parts else "",
                target=target,
            )
        )
    if panels:
        switch = [(_words_key(flag), _words_label(flag)) for flag in sorted(seen, reverse=True)]
        heading = f"{language_name(language)}: the space among its controls"
        yield Figures(panels, heading=heading, switch=switch, switch_label="Scored on", group="folds")


@or_reason("Words")
def _words(run: Run) -> Iterator[Block]:
    table = run.table("predictions", ("language", "norms", "word", "target", "observed", "predicted"))
    yield prose("text-words", most=f"{charts.MAX_POINTS:,}")
    columns = {"space": "predicted"}
    if "predicted_dense" in table.columns and table["predicted_dense"].notna().any():
        columns["dense"] = "predicted_dense"
    switch = [(key, FEATURE_SETS[key][0]) for key in columns]
    scatters: dict[str, list[Block]] = {}
    for (language, norms), part in table.groupby(["language", "norms"], sort=False):
        panels = []
        for target, words in part.groupby("target", sort=False):
            whole = words.dropna(subset=["observed", "predicted"])
            if len(whole) < 3:
                continue
            records = run.panel(str(language), str(norms), str(target), excluded=False)
            r = {record.features: record for record in records if record.features in columns}
            parts = [f"{FEATURE_SETS[key][0].lower()} r = {figure(r[key].r)}" for key in columns if key in r]
            parts.append(f"n = {counted(len(whole), 'word')}")
            caption = f"{upper_first(', '.join(parts))}."
            panels.append(
                panel(
                    f"words-{language}-{norms}-{target}",
                    charts.observed_predicted(whole, columns, run.results.manifest.seed, str(language)),
                    text="words",
                    heading=upper_first(str(target)),
                    caption=caption,
                    target=target,
                )
            )
        if panels:
            heading = f"{language_name(str(language))}, {norms}"
            switched = switch if len(switch) > 1 else ()
            block: Block = Figures(
                panels, heading=heading, switch=switched, switch_label="Predicted from", group="from"
            )
        else:
            block = Reason(
                f"Words of {norms}", "fewer than three of them have both a rating and a prediction"
            )
        scatters.setdefault(str(language), []).append(block)
    yield from by_language(scatters)


@or_reason("Feature dictionary")
def _dictionary(run: Run) -> Iterator[Block]:
    yield prose("text-dictionary", provenance=run.provenance)
    if run.results.features:
        yield counts_table(run)
    if any(record.auc is not None for record in run.results.features):
        yield auc_table(run)
    columns = ("language", "category", "latent", "effect", "rate_in", "rate_pool", "q", "top_words")
    table = run.table("features", columns)
    tables = {
        str(language): [dictionary_table(run, str(language), part)]
        for language, part in table.groupby("language", sort=False)
    }
    yield from by_language(tables)


def _missing(run: Run) -> Iterator[Block]:
    table = missing_table(run)
    yield table if table.rows else prose("text-missing")
    if "curated" in run.provenance:
        yield prose("text-missing-2")
