"""Steering across languages: whose concepts set the tone of whose answers, as heat maps with their tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emospace.evaluation import summary
from emospace.evaluation.cross_lingual_tables import ALL
from emospace.judges import AUROC_FLOOR, BASIC
from emospace.records import Results, SteeringRecord
from emospace.report import steering_tables as tables
from emospace.report.blocks import (
    Block,
    Cell,
    Chart,
    Figures,
    Part,
    Prose,
    Reason,
    Section,
    Table,
    build_sections,
)
from emospace.report.columns import Column, build, ci, counts, language_column, p, plain, score, shares
from emospace.report.plots import Json, axis, heat, text
from emospace.report.run import Absent, Run, or_reason
from emospace.report.texts import panel, phrase, prose
from emospace.report.wording import counted, figure, language_name, plain_name, upper_first

if TYPE_CHECKING:
    import pandas as pd

Records = Sequence[SteeringRecord]

CONTROLS = {"random": "Random directions", "none": "Unsteered"}
MEAN = "mean"
"""The variant of the matrix that is over the basic emotions together."""
MEANS = (
    *("source", "output", "n_emotions", "rate", "rate_low", "rate_high", "rate_masked", "base_rate"),
    *("control_rate", "others_rate", "p", "p_fdr", "perplexity_ratio", "distinct2_ratio", "in_language"),
    "base_in_language",
)
COSINES = ("a", "b", "emotion", "layer", "cosine", "others")


def is_crossing_run(run: Run) -> bool:
    """Return whether a run's steering figures are of several languages' concepts or answers."""
    records = () if summary.is_illustration(run.results.steering) else run.results.steering
    pairs = {(summary.source_of(record), record.language) for record in summary.steered(records)}
    return len(pairs) > 1 or (run.folder / "tables" / "crossing_means.parquet").is_file()


def crossing_page(run: Run) -> tuple[Section, ...]:
    """Return the sections of a page that is of steering across languages alone."""
    made: tuple[Part[Run], ...] = (
        ("answer", "Does a tone cross languages?", "Answer", _answer),
        ("emotions", "Emotion by emotion", "Emotions", _emotions),
        ("vectors", "How alike the languages' vectors are", "Vectors", _vectors),
        ("samples", "Answers to read", "Answers", _samples),
    )
    return build_sections(run, made)


def _source_name(source: str) -> str:
    return "All languages" if source == ALL else language_name(source)


def crossing_verdict(title: str, means: pd.DataFrame, results: Results) -> tuple[str, ...]:
    """Return the answer in words: in how many pairs of languages the target is judged beyond random directions."""
    rows: list[Any] = means.to_dict("records")
    across = [row for row in rows if row["source"] not in (ALL, row["output"])]
    if not across:
        return (phrase("crossing.untried", title=title),)
    beyond = [row for row in across if summary.is_beyond_controls(row)]
    counts_of = Counter(row["output"] for row in beyond)
    where = [
        phrase("crossing.where", beyond=counts_of[name], n=n, language=name)
        for name, n in Counter(row["output"] for row in across).items()
    ]
    answer = phrase(
        "crossing.none" if not beyond else "crossing.some" if len(beyond) < len(across) else "crossing.all",
        title=title,
        n=len(across),
        beyond=len(beyond),
        where=where,
    )

    def mean(name: str, of: str = summary.EVERY) -> float | None:
        return results.mean("crossing_means", name, rows=of)

    within = any(row["source"] == row["output"] for row in rows)
    pool = any(row["source"] == ALL for row in rows)
    rates = [
        phrase("crossing.another", rate=mean("rate", summary.ANOTHER)),
        *([phrase("crossing.own", rate=mean("rate", summary.OWN))] if within else []),
        *([phrase("crossing.pooled", rate=mean("rate", summary.POOLED))] if pool else []),
        phrase("crossing.random", rate=mean("control_rate")),
        phrase("crossing.unsteered", rate=mean("base_rate")),
    ]
    outputs = dict.fromkeys(row["output"] for row in rows)
    return (
        answer,
        phrase("crossing.rates", rates=rates, others=mean("others_rate")),
        *_staying(outputs, results),
    )


def _staying(outputs: Iterable[str], results: Results) -> Iterator[str]:
    """Yield how many answers stay in the language of their prompt, steered and not."""
    shares = []
    for output in outputs:
        before, after = (
            results.mean("crossing_means", name, output=output)
            for name in ("base_in_language", "in_language")
        )
        if before is not None and after is not None:
            shares.append(phrase("crossing.stays", language=output, before=before, after=after))
    if shares:
        yield phrase("crossing.staying", shares=", ".join(shares))


def matrix(results: Results) -> Chart:
    """Draw target rates, source by output: one variant over the basic emotions together, one an emotion.

    Random directions, at the dose and layers of each target's vectors, and unsteered answers are the last rows.
    """
    records = results.steering
    of_vectors = summary.steered(records)
    sources = list(dict.fromkeys(summary.source_of(record) for record in of_vectors))
    outputs = list(dict.fromkeys(record.language for record in of_vectors))
    emotions = list(dict.fromkeys(record.emotion for record in of_vectors))
    rows = [*sources, *(kind for kind in CONTROLS if any(record.vector == kind for record in records))]
    by_emotion = summary.matrix_rows(records)

    def rate(name: str, row: str, output: str) -> float | None:
        if name == MEAN:
            return results.mean("steering", "target_rate", source=row, language=output)
        record = by_emotion.get((row, output), {}).get(name)
        return record.target_rate if record else None

    variants = [*([MEAN] if set(emotions) & set(BASIC) else []), *emotions]
    squares = {
        name: np.array([[rate(name, row, output) for output in outputs] for row in rows], dtype=np.float64)
        for name in variants
    }
    top = max(0.2, float(np.nanmax(list(squares.values()), initial=0.0)))
    return Chart(
        {name: _heat(table, rows, outputs, top) for name, table in squares.items()},
        height=130 + 34 * len(rows),
    )


def _heat(values: np.ndarray, rows: Sequence[str], outputs: Sequence[str], top: float) -> Json:
    shown = [
        [
            f"<b>{figure(share)}</b>" if row == output else figure(share)
            for output, share in zip(outputs, shares_of_row, strict=True)
        ]
        for row, shares_of_row in zip(rows, values, strict=True)
    ]
    return heat(
        values,
        [CONTROLS.get(row) or text(_source_name(row)) for row in rows],
        [text(language_name(output)) for output in outputs],
        "concepts: %{y}<br>answers: %{x}<br>judged as the target: %{z:.0%}",
        top=top,
        shown=shown,
        x=axis("language of the answers"),
        margin={"l": 130, "r": 8, "t": 8, "b": 56},
    )


def _answer(run: Run) -> Iterator[Block]:
    records = run.results.steering
    try:
        means = run.table("crossing_means", MEANS)
    except Absent as reason:
        yield Reason("The matrix in figures", str(reason))
        means = None
    if means is not None:
        yield Prose(crossing_verdict(run.title, means, run.results), role="answer")
    yield Prose(_judged(run.results))
    if not summary.steered(records):
        yield Reason("Source by output", "results.json holds no vector's figures")
        return
    chart = matrix(run.results)
    rates = "; ".join(
        f"{_source_name(row['source'])} to {language_name(row['output'])} {figure(row['rate'])}"
        for row in (means.to_dict("records") if means is not None else ())
    )
    drawn = panel("crossing-matrix", chart, rates=rates)
    switch = [
        (name, "Basic emotions" if name == MEAN else upper_first(plain_name(name))) for name in chart.variants
    ]
    yield Figures([drawn], columns=1, switch=switch, switch_label="Towards", group="crossing")
    if means is not None:
        yield means_table(means)


def _judged(results: Results) -> list[str]:
    """Return how good the judge is in each output language, and whose dose is applied."""
    of_vectors = summary.steered(results.steering)
    aurocs = [
        phrase("crossing.auroc", language=name, auroc=results.mean("steering", "judge_auroc", language=name))
        for name in dict.fromkeys(record.language for record in of_vectors)
    ]
    judges = list(dict.fromkeys(f"“{record.judge}”" for record in of_vectors))
    options = (part.partition("=") for record in of_vectors for part in (record.options or "").split())
    doses = sorted({value for name, _, value in options if name == "dose_of"})
    sentences = [phrase("crossing.judge", judges=judges, aurocs=aurocs)]
    return sentences + ([phrase("crossing.doses", languages=doses)] if doses else [])


MEANS_COLUMNS = (
    score("Target rate", "rate"),
    ci("rate_low", "rate_high"),
    score("Masked", "rate_masked"),
    score("Random", "control_rate"),
    score("Unsteered", "base_rate"),
    score("Other emotions", "others_rate"),
    p("p", "p"),
    p("p (FDR)", "p_fdr"),
    *tables.FLUENCY,
    shares("In language", "in_language"),
)


def _n_judged(row: Mapping[str, Any]) -> Cell:
    judged, unjudged = row["n_judged"], row["n_unjudged"]
    return Cell(f"{judged:,} of {judged + unjudged:,}", judged)


def means_table(means: pd.DataFrame) -> Table:
    """Return one row a source and output: means over the basic emotions with their controls."""
    unjudged = "n_unjudged" in means and bool(means["n_unjudged"].any())
    return build(
        "table-crossing-means",
        (
            Column("Concepts", "source", _source_name),
            language_column("Answers", "output"),
            counts("Emotions", "n_emotions"),
            Column("Judged", _n_judged) if unjudged else None,
            *MEANS_COLUMNS,
        ),
        means.to_dict("records"),
        more_than=tables.SEARCHED,
        strong=lambda row: row["source"] == row["output"],
    )


def _emotions(run: Run) -> Iterator[Block]:
    records = run.results.steering
    random = {(r.language, r.emotion): r.target_rate for r in records if r.vector == "random"}
    of_vectors = summary.steered(records)
    if not of_vectors:
        yield Reason("Emotions", "results.json holds no vector's figures")
        return
    yield build(
        "table-crossing-rates",
        (
            Column("Concepts", summary.source_of, _source_name),
            language_column("Answers"),
            Column("Emotion", "emotion", tables.emotion_name),
            plain("Dose", "dose", note="options"),
            tables.JUDGED if tables.judged_of(of_vectors) else None,
            *tables.RATES[:-1],
            score("Random", lambda r: random.get((r.language, r.emotion))),
            tables.RATES[-1],
            p("p", "p"),
            p("p (FDR)", "p_fdr"),
            tables.AUROC,
            *tables.FLUENCY,
            score("Δ valence", "valence_shift", digits=3),
        ),
        of_vectors,
        prompts=counted(of_vectors[0].n_prompts, "prompt"),
        least=figure(AUROC_FLOOR),
    )


@or_reason("Cosines")
def _vectors(run: Run) -> Iterator[Block]:
    table = run.table("crossing_cosines", COSINES)

    def mean(name: str, **among: str) -> float | None:
        return run.results.mean("crossing_cosines", name, **among)

    yield prose("text-crossing-vectors", same=mean("cosine"), others=mean("others"))
    groups = [
        (str(e), str(layer), part) for (e, layer), part in table.groupby(["emotion", "layer"], sort=False)
    ]
    yield build(
        "table-crossing-cosines",
        (
            Column("Emotion", lambda g: tables.emotion_name(g[0])),
            Column("Layer", lambda g: Cell(g[1], float(g[1])), numeric=True),
            counts("Pairs", lambda g: len(g[2])),
            score("Mean cosine", lambda g: mean("cosine", emotion=g[0], layer=g[1])),
            Column("Least", lambda g: _extreme(g[2], "idxmin"), numeric=True),
            Column("Greatest", lambda g: _extreme(g[2], "idxmax"), numeric=True),
            score("Other emotions", lambda g: mean("others", emotion=g[0], layer=g[1])),
        ),
        groups,
    )
    yield build(
        "table-crossing-pairs",
        (
            language_column(get="a"),
            language_column("And", "b"),
            score("Mean cosine", lambda pair: mean("cosine", a=str(pair["a"]), b=str(pair["b"]))),
            score("Other emotions", lambda pair: mean("others", a=str(pair["a"]), b=str(pair["b"]))),
        ),
        table[["a", "b"]].drop_duplicates().to_dict("records"),
        more_than=tables.SEARCHED,
    )


def _extreme(part: pd.DataFrame, which: Literal["idxmin", "idxmax"]) -> Cell:
    row = part.loc[getattr(part["cosine"], which)()]
    value = float(row["cosine"])
    return Cell(
        figure(value), value, note=f"{language_name(str(row['a']))} and {language_name(str(row['b']))}"
    )


@or_reason("Answers")
def _samples(run: Run) -> Iterator[Block]:
    columns = ("source", "output", "emotion", "kind", "draw", "prompt", "text", "judged")
    table = run.table("crossing_samples", columns)
    first = table.groupby("output")["prompt"].transform("first")
    shown = table[(table["prompt"] == first) & (table["draw"] == 0)]
    yield build(
        "table-crossing-samples",
        (
            Column(
                "Concepts", lambda row: CONTROLS.get(str(row["kind"])) or _source_name(str(row["source"]))
            ),
            language_column("Answers in", "output"),
            Column("Target", lambda row: tables.target_name(row["emotion"])),
            Column("Judged as", "judged"),
            Column("Prompt", "prompt", wrap=True, lang="output"),
            Column("Answer", lambda row: Cell(str(row["text"])), wrap=True),
        ),
        shown.to_dict("records"),
    )
