"""`emospace steer evaluate` and `languages`: prove what steering does to a model's answers, also across languages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emospace.cli.compare import interval, p_value, show_missing
from emospace.cli.options import command_line, keep_spec, takes
from emospace.cli.steer import app
from emospace.cli.tone import load
from emospace.display import table, written
from emospace.errors import EmospaceError
from emospace.specs import BASIC, CrossingSpec, SteeringSpec

if TYPE_CHECKING:
    from emospace.evaluation import Evaluation
    from emospace.models import LanguageModel
    from emospace.steering.bank import VectorBank

BASELINES = {"dense": ("dense",), "sae": ("sae",), "both": ("dense", "sae"), "none": ()}
"""Value of ``--baselines`` -> sources of vectors."""


@app.command("evaluate")
@takes(SteeringSpec)
def evaluate(spec: SteeringSpec) -> None:
    """Prove what steering does: answers at every dose, judged, beside random directions and other ways.

    Writes results.json, tables/ and report.html into the run folder. Takes calibrated vectors.

    For example:

    emospace steer evaluate --out runs/steering

    emospace steer evaluate --emotions joy,sadness --doses 0.5,1,1.5 --n-prompts 10 --out runs/quick
    """
    from emospace.evaluation.running import run_evaluation
    from emospace.report import write_report

    folder = keep_spec(spec, spec.out)
    model, bank = load(spec)
    kinds = {vector.kind for vector in bank.vectors.values()}
    beside = {name: bank_or_none(model, name) for name in BASELINES[spec.baselines] if name not in kinds}
    command = command_line("emospace steer evaluate", spec)
    show_evaluation(run_evaluation(spec, model, bank, beside, command=command))
    written("Report", write_report(folder))


@app.command("languages")
@takes(CrossingSpec)
def languages(spec: CrossingSpec) -> None:
    """Steer answers in one language by the concepts of another: every source by every output, judged.

    Writes results.json, tables/ and report.html into the run folder. Takes calibrated vectors.

    For example:

    emospace steer languages --out runs/steering-languages

    emospace steer languages --sources en,zh --outputs en,zh --emotions joy,sadness --out runs/quick
    """
    from emospace.evaluation.cross_lingual import run_cross_lingual
    from emospace.report import write_report

    folder = keep_spec(spec, spec.out)
    model, bank = load(spec)
    command = command_line("emospace steer languages", spec)
    show_crossing(run_cross_lingual(spec, model, bank, command=command))
    written("Report", write_report(folder))


def bank_or_none(model: LanguageModel, source: str) -> VectorBank | None:
    """Return a model's vectors of a source, None where it has none."""
    from emospace.steering.bank import load_vectors

    try:
        return load_vectors(model, source)
    except EmospaceError:
        return None


def show_evaluation(evaluation: Evaluation) -> None:
    """Print the basic emotions at their calibrated dose, the study in figures, and what could not be given."""
    unjudged = any(record.n_unjudged for record in evaluation.records)
    weak = any(record.caveat for record in evaluation.records)
    columns = (
        *("emotion", "vector", *(["judged"] if unjudged else []), "rate", "95% CI", "masked", "unsteered"),
        *("p (FDR)", "perplexity ratio", "distinct-2", *(["judge"] if weak else [])),
    )
    rows = [
        (
            *(record.emotion, record.vector),
            *([f"{record.n_judged} of {record.n}"] if unjudged else []),
            *(record.target_rate, interval(record.ci_low, record.ci_high)),
            *(record.target_rate_masked, record.base_rate, p_value(record.p_fdr)),
            *(record.perplexity_ratio, record.distinct2_ratio, *([record.caveat] if weak else [])),
        )
        for record in evaluation.records
        if record.calibrated and record.emotion in BASIC
    ]
    table("Answers judged as the target, at the calibrated dose", columns, rows)
    figures = evaluation.tables["figures"]
    if len(figures):
        table(
            "The study in figures",
            ("vector", "figure", "value", "low", "high", "n"),
            figures[["kind", "figure", "value", "value_low", "value_high", "n"]].itertuples(index=False),
        )
    show_missing(evaluation.not_computed)


def show_crossing(crossing: Evaluation) -> None:
    """Print the matrix of mean rates, source by output, and what could not be given."""
    means = crossing.tables["means"]
    if len(means):
        span = [
            interval(low, high) or "-"
            for low, high in zip(means["rate_low"], means["rate_high"], strict=True)
        ]
        judged = {"judged": "n_judged", "unjudged": "n_unjudged"} if means["n_unjudged"].any() else {}
        columns = {
            **{"concepts": "source", "answers": "output", **judged, "rate": "rate", "95% CI": "span"},
            **{"masked": "rate_masked", "random": "control_rate", "unsteered": "base_rate"},
            **{"p (FDR)": "p_fdr", "perplexity ratio": "perplexity_ratio", "in language": "in_language"},
        }
        table(
            "Answers judged as the target, mean over the basic emotions",
            tuple(columns),
            means.assign(span=span)[list(columns.values())].itertuples(index=False),
        )
    show_missing(crossing.not_computed)
