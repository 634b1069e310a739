"""A steering study from calibrated vectors to a run folder: cells, answers, `results.json` and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emospace.artefacts import write_parquet
from emospace.display import say
from emospace.evaluation.cells import standard_cells
from emospace.evaluation.controls import shuffled_banks
from emospace.evaluation.grid import Evaluation, evaluate
from emospace.evaluation.prompts import prompt_kind
from emospace.evaluation.summary import steering_summary
from emospace.judges import load_judge
from emospace.records import Manifest, NotComputed, Results, Source, SummaryRecord, provenance
from emospace.specs import SteeringSpec

if TYPE_CHECKING:
    from emospace.judges import Judge
    from emospace.models import LanguageModel
    from emospace.norms import WordNorms
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
    from emospace.concepts import load_concepts
    from emospace.norms import default_norms, load_norms

    judge = load_judge(spec.judge)
    if bank.note.get("judge") == spec.judge:
        say(
            f"Warning: judge '{spec.judge}' also calibrated the doses, so its figures are too good. Name another."
        )
    sets = load_concepts([spec.language], path=spec.concepts)
    bundled = default_norms(spec.language)
    name = spec.norms or (bundled[0] if bundled else None)
    norms = load_norms(name) if name else None
    lemmas = sets.labels[spec.language]
    shuffled = shuffled_banks(model, bank, spec.n_shuffled, mode=spec.mode, seed=spec.seed)
    cells = standard_cells(
        spec,
        bank.in_mode(spec.mode),
        baselines=[baseline.in_mode(spec.mode) for baseline in baselines.values() if baseline is not None],
        shuffled=[drawn.in_mode(spec.mode) for drawn in shuffled],
        labels={emotion: lemmas[emotion][0] for emotion in bank.names if lemmas.get(emotion)},
        kind=prompt_kind(model, spec.prompts),
    )
    found = evaluate(spec, model, cells, judge, sets=sets, norms=norms)
    missing = tuple(
        NotComputed(
            what=f"baseline of {name} vectors",
            why=f"none were calibrated for this model (emospace steer calibrate --source {name})",
            language=spec.language,
        )
        for name, baseline in baselines.items()
        if baseline is None
    )
    found = found._replace(not_computed=(*found.not_computed, *missing))
    for key, frame in found.tables.items():
        write_parquet(spec.out / "tables" / f"steering_{key}.parquet", frame)
    summary = steering_summary(found.records)
    results_of(spec, model, bank, judge, norms, found, summary, command).save(spec.out / "results.json")
    return found


def results_of(
    spec: SteeringSpec,
    model: LanguageModel,
    bank: VectorBank,
    judge: Judge,
    norms: WordNorms | None,
    found: Evaluation,
    summary: tuple[SummaryRecord, ...],
    command: str,
) -> Results:
    """Return what `results.json` holds of an evaluation: its records, the model, and what the figures hang on."""
    made = bank.note.get("spec", {})
    sources = [
        Source(
            kind="concepts",
            name="what the vectors were made of",
            language=made.get("language"),
            provenance="curated" if made and not made.get("concepts") else None,
            content_hash=next(
                (str(v.note["concepts"]) for v in bank.vectors.values() if "concepts" in v.note), None
            ),
            note=f"calibrated with judge '{bank.note.get('judge')}', perplexity budget {made.get('budget')}",
        )
    ]
    if norms is not None:
        sources.append(provenance.norms_source(norms, norms.language))
    return Results(
        steering=found.records,
        summary=summary,
        not_computed=found.not_computed,
        model=provenance.model_record(
            model, name=model.name, source=spec.model, layer=None, n=found.n_answers, seed=spec.seed
        ),
        manifest=Manifest(
            model=model.name,
            layer=None,
            n=found.n_answers,
            seed=spec.seed,
            command=command,
            languages=(spec.language,),
            sources=tuple(sources),
            files={"model": provenance.model_file(model), "judge": f"{judge.name}: {judge.kind}"},
            versions=provenance.versions(_PACKAGES),
        ),
    )
