"""A steering study from calibrated vectors to a run folder: cells, answers, `results.json` and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from emospace.artefacts import write_parquet
from emospace.concepts import load_concepts
from emospace.display import say
from emospace.evaluation.cells import baseline_emotions, standard_cells
from emospace.evaluation.frontier import frontier_summary
from emospace.evaluation.grid import Evaluation, evaluate
from emospace.evaluation.instructions import best_instructions
from emospace.evaluation.materials import shuffled_banks
from emospace.evaluation.summary import steering_summary
from emospace.judges import judge_parts, load_judge
from emospace.norms import norms_for
from emospace.records import Manifest, NotComputed, Results, Source, SummaryRecord, provenance
from emospace.specs import CalibrationSpec, CrossingSpec, SteeringSpec

if TYPE_CHECKING:
    from emospace.judges import Judge
    from emospace.models import LanguageModel
    from emospace.steering.bank import VectorBank

_PACKAGES = ("emospace", "torch", "transformers", "numpy")


def run_evaluation(
    spec: SteeringSpec,
    model: LanguageModel,
    bank: VectorBank,
    baselines: Mapping[str, VectorBank | None],
    *,
    command: str,
) -> Evaluation:
    """Run the study of a model's calibrated vectors into the folder `SteeringSpec.out`.

    Writes ``results.json`` and ``tables/steering_*.parquet``, from which `report.write_report` makes the page.

    Parameters
    ----------
    baselines
        Name -> other calibrated vectors to hold beside, None where they were asked for and are not there.

    Raises
    ------
    EmospaceError
        As `evaluate` and `standard_cells`; answers already generated are kept.
    """
    judge = load_reporting_judge(spec.judge, bank)
    sets = load_concepts([spec.language], path=spec.concepts)
    norms = norms_for(spec.language, spec.norms)
    lemmas = sets.labels[spec.language]
    shuffled = shuffled_banks(model, bank, spec.n_shuffled, mode=spec.mode, seed=spec.seed)
    vectors = bank.in_mode(spec.mode)
    chosen = best_instructions(
        spec,
        model,
        baseline_emotions(spec, vectors),
        bank.note.get("judge", CalibrationSpec().judge),
        labels={emotion: lemmas[emotion][0] for emotion in bank.names if lemmas.get(emotion)},
    )
    cells = standard_cells(
        spec,
        vectors,
        baselines=[baseline.in_mode(spec.mode) for baseline in baselines.values() if baseline is not None],
        shuffled=[drawn.in_mode(spec.mode) for drawn in shuffled],
        instructions=chosen.instructions,
    )
    evaluation = evaluate(spec, model, cells, judge, sets=sets, norms=norms)
    missing = tuple(
        NotComputed(
            what=f"baseline of {name} vectors",
            why=f"none were calibrated for this model (emospace steer calibrate --source {name})",
            language=spec.language,
        )
        for name, baseline in baselines.items()
        if baseline is None
    )
    if chosen.reason is not None:
        unchosen = NotComputed(what="choice of the instruction", why=chosen.reason, language=spec.language)
        missing = (*missing, unchosen)
    evaluation = evaluation._replace(
        tables={**evaluation.tables, "instructions": chosen.table},
        not_computed=(*evaluation.not_computed, *missing),
    )
    summary = (
        *steering_summary(evaluation.records),
        *frontier_summary(evaluation.tables["frontier_figures"]),
    )
    save_study(
        *(spec, model, bank, judge, evaluation, summary),
        command=command,
        prefix="steering",
        languages=(spec.language,),
        sources=[provenance.norms_source(norms, norms.language)] if norms is not None else [],
    )
    return evaluation


def load_reporting_judge(name: str, bank: VectorBank) -> Judge:
    """Return the judge of a study, and say where it, or a part of it, is the one that chose the doses."""
    if shared := set(judge_parts(name)) & set(judge_parts(bank.note.get("judge", ""))):
        listed = ", ".join(sorted(shared))
        say(
            f"Warning: judge '{listed}' also calibrated the doses, so its figures are too good. Name another."
        )
    return load_judge(name)


def save_study(
    spec: SteeringSpec | CrossingSpec,
    model: LanguageModel,
    bank: VectorBank,
    judge: Judge,
    evaluation: Evaluation,
    summary: tuple[SummaryRecord, ...],
    *,
    command: str,
    prefix: str,
    languages: Sequence[str],
    sources: Iterable[Source] = (),
) -> None:
    """Write ``results.json`` and the tables of an evaluation, ``tables/PREFIX_NAME.parquet``, into its run folder.

    Parameters
    ----------
    languages
        Those of the answers.
    sources
        What the figures hang on beside the vectors.
    """
    for name, table in evaluation.tables.items():
        write_parquet(spec.out / "tables" / f"{prefix}_{name}.parquet", table)
    made = bank.note.get("spec", {})
    vectors = Source(
        kind="concepts",
        name="what the vectors were made of",
        language=made.get("language"),
        provenance="curated" if made and not made.get("concepts") else None,
        content_hash=next(
            (str(v.note["concepts"]) for v in bank.vectors.values() if "concepts" in v.note), None
        ),
        note=f"calibrated with judge '{bank.note.get('judge')}', perplexity budget {made.get('budget')}, "
        f"facts {made.get('budget_facts')}",
    )
    n_answers = evaluation.n_answers
    Results(
        steering=evaluation.records,
        side_effects=evaluation.side_effects,
        summary=summary,
        not_computed=evaluation.not_computed,
        model=provenance.model_record(
            model, name=model.name, source=spec.model, layer=None, n=n_answers, seed=spec.seed
        ),
        manifest=Manifest(
            model=model.name,
            layer=None,
            n=n_answers,
            seed=spec.seed,
            command=command,
            languages=tuple(languages),
            sources=(vectors, *sources),
            files={"model": provenance.model_file(model), "judge": f"{judge.name}: {judge.kind}"},
            versions=provenance.versions(_PACKAGES),
        ),
    ).save(spec.out / "results.json")
