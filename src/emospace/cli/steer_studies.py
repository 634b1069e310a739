"""`emospace steer evaluate`, `languages` and `rate`: prove what steering does to answers, by judges and by people."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from emospace.cli.compare import p_value, show_missing
from emospace.cli.options import command_line, keep_spec, takes
from emospace.cli.steer import app
from emospace.cli.tone import load, vectors_language
from emospace.display import Get, bare, between, get_value, say, table, written
from emospace.errors import EmospaceError
from emospace.specs import BASIC, CrossingSpec, RatingSpec, SteeringSpec

if TYPE_CHECKING:
    import pandas as pd

    from emospace.evaluation import Evaluation
    from emospace.evaluation.rating import Ratings
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
    beside = {
        name: bank_or_none(model, name, vectors_language(spec))
        for name in BASELINES[spec.baselines]
        if name not in kinds
    }
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


@app.command("rate")
@takes(RatingSpec, config=False)
def rate(spec: RatingSpec) -> None:
    """Let people rate a study's answers: write a blinded sheet, or read filled sheets back.

    The sheet is a CSV and a page that works without a network; it shows prompts and answers in random order and not
    how an answer was made. Read back, people's rates stand beside the judges', with the raters' agreement.

    For example:

    emospace steer rate runs/steering

    emospace steer rate runs/steering --sheet ann.csv --sheet bo.csv
    """
    from emospace.evaluation.rating import read_sheets, write_sheet
    from emospace.report import write_report

    if spec.sheets:
        show_ratings(read_sheets(spec))
        written("Report", write_report(spec.run))
        return
    sheet = write_sheet(spec)
    if sheet.n_empty:
        say(f"{sheet.n_empty} empty answers left out.")
    say(
        f"{len(sheet.answers)} answers to rate, in the page or in the CSV. Send raters nothing else of the run."
    )
    for path in sheet.files:
        written("Sheet", path)
    say(f"Then: emospace steer rate {shlex.quote(str(spec.run))} --sheet NAME.csv, once for each rater")


def show_ratings(ratings: Ratings) -> None:
    """Print people's rates beside the judges', the agreement, and what is missing."""
    rates: list[Any] = ratings.rates.to_dict("records")
    columns: dict[str, Get] = {
        **{
            "way": "way",
            "emotion": lambda row: get_value(row, "emotion") or "mean",
            "rater": "rater",
            "rate": "rate",
        },
        **{"95% CI": between("rate_low", "rate_high"), "n": "n"},
    }
    table("Answers taken for the target, the same ones by people and judges", *bare(columns, rates))
    agreement: list[Any] = ratings.agreement.to_dict("records")
    columns = {
        **{
            "between": "first",
            "and": "second",
            "alpha": "alpha",
            "95% CI": between("alpha_low", "alpha_high"),
        },
        **{"equal": "equal", "answers": "n_answers", "ratings": "n_ratings", "why": "reason"},
    }
    table("Agreement (Krippendorff's alpha)", *bare(columns, agreement))
    for rater, n in ratings.unrated.items():
        if n:
            say(f"{n} answers are not rated by {rater}; they are left out.")
    for reason in ratings.not_given:
        say(reason)


def bank_or_none(model: LanguageModel, source: str, language: str | None) -> VectorBank | None:
    """Return a model's vectors of a source, None where it has none."""
    from emospace.steering.bank import load_vectors

    try:
        return load_vectors(model, source, language)
    except EmospaceError:
        return None


def show_evaluation(evaluation: Evaluation) -> None:
    """Print the basic emotions at their calibrated dose, the study in figures, and what could not be given."""
    from emospace.evaluation.summary import way

    rows = [record for record in evaluation.records if record.calibrated and record.emotion in BASIC]
    unjudged = any(record.n_unjudged for record in evaluation.records)
    weak = any(record.caveat for record in evaluation.records)
    columns: dict[str, Get] = {
        **{"emotion": "emotion", "vector": way},
        **({"judged": lambda record: f"{record.n_judged} of {record.n}"} if unjudged else {}),
        **{"rate": "target_rate", "95% CI": between(), "masked": "target_rate_masked"},
        **{"unsteered": "base_rate", "p (FDR)": lambda record: p_value(record.p_fdr)},
        **{"perplexity ratio": "perplexity_ratio", "distinct-2": "distinct2_ratio"},
        **{"in language": "in_language"},
        **({"judge": "caveat"} if weak else {}),
    }
    table("Answers judged as the target, at the calibrated dose", *bare(columns, rows))
    figures = evaluation.tables["figures"]
    if len(figures):
        columns = {"vector": "kind", "figure": "figure", "value": "value"}
        columns |= {"low": "value_low", "high": "value_high", "n": "n"}
        table("The study in figures", *bare(columns, figures.to_dict("records")))
    show_frontier(evaluation.tables["frontier_figures"])
    if len(stability := evaluation.tables["stability"]):
        columns = {
            "emotion": lambda row: get_value(row, "emotion") or "mean",
            "vector": "way",
            "rate": "rate",
        }
        columns |= {"least seed": "least", "greatest seed": "greatest", "in most seeds": "most"}
        columns |= {"in every seed": "every", "agreement": "agreement"}
        columns |= {"95% CI": between("agreement_low", "agreement_high"), "seeds": "n_seeds"}
        table("Stability over seeds", *bare(columns, stability.to_dict("records")))
    if evaluation.side_effects:
        columns = {"emotion": lambda record: record.emotion or record.vector, "figure": "figure"}
        columns |= {"steered": "value", "unsteered": "base_value", "change": "change"}
        columns |= {"95% CI": between("change_low", "change_high"), "n": "n"}
        table("Side effects at the calibrated dose", *bare(columns, evaluation.side_effects))
    show_missing(evaluation.not_computed)


def show_frontier(figures: pd.DataFrame) -> None:
    """Print what each way of steering gives at equal cost, mean over the basic emotions."""
    means: list[Any] = figures[figures["emotion"].isna()].to_dict("records")
    rows = [row for row in means if row["figure"] == "target_rate"]
    masked = {
        (row["way"], row["at"], row["level"]): row["value"]
        for row in means
        if row["figure"] == "target_rate_masked"
    }
    if rows:
        columns: dict[str, Get] = {
            **{"way": "way", "at": "at", "level": "level", "rate": "value"},
            **{"95% CI": between("value_low", "value_high")},
            **{"masked": lambda row: masked[row["way"], row["at"], row["level"]], "why": "reason"},
        }
        table("Ways of steering at equal cost", *bare(columns, rows))


def show_crossing(crossing: Evaluation) -> None:
    """Print the matrix of mean rates, source by output, and what could not be given."""
    means = crossing.tables["means"]
    if len(means):
        judged = {"judged": "n_judged", "unjudged": "n_unjudged"} if means["n_unjudged"].any() else {}
        columns: dict[str, Get] = {
            **{"concepts": "source", "answers": "output", **judged, "rate": "rate"},
            **{"95% CI": between("rate_low", "rate_high"), "masked": "rate_masked"},
            **{"random": "control_rate", "unsteered": "base_rate", "p (FDR)": "p_fdr"},
            **{"perplexity ratio": "perplexity_ratio", "in language": "in_language"},
        }
        title = "Answers judged as the target, mean over the basic emotions"
        table(title, *bare(columns, means.to_dict("records")))
    show_missing(crossing.not_computed)
