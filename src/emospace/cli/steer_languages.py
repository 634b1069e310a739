"""`emospace steer languages`: do the concepts of one language set the tone of answers in another?"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emospace.cli.options import build_spec, command_line, run_folder, split
from emospace.cli.steer import (
    DOSE,
    JUDGED,
    RUN,
    WHAT,
    Batch,
    Concepts,
    Device,
    Dtype,
    Emotions,
    LeastTokens,
    Mode,
    Model,
    Revision,
    Seed,
    Source,
    TemplateArg,
    Trust,
)
from emospace.cli.steer_evaluate import SAMPLING
from emospace.cli.tone import load, sampling_of
from emospace.display import say, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emospace.evaluation import Evaluation
    from emospace.evaluation.crossing import CrossingSpec

CROSSING = {
    "model": "--model",
    "sources": "--sources",
    "outputs": "--outputs",
    "emotions": "--emotions",
    "mode": "--mode",
    "factor": "--factor",
    "n_random": "--random",
    "judge": "--judge",
    "least_auroc": "--least-auroc",
    "n_prompts": "--n-prompts",
    "concepts": "--concepts",
    "token_cap": "--token-cap",
    "batch_size": "--batch-size",
    "seed": "--seed",
}
"""Field of `CrossingSpec` -> option; its sampling has options of its own, and `out` is `--out`."""


def languages(
    model: Model = "embedded",
    sources: Annotated[
        list[str] | None,
        typer.Option(
            help="Languages whose concepts make the vectors, comma-separated; else all with concept-sets.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            help="Languages of the answers; else all with prompts that the judge is fit for.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    emotions: Emotions = None,
    concepts: Concepts = None,
    source: Source = None,
    mode: Annotated[Mode, typer.Option(help="Mode of the dose.", rich_help_panel=DOSE)] = Mode.relative,
    factor: Annotated[
        float,
        typer.Option(
            help="Of the dose calibrated for each emotion, the same for all languages.", rich_help_panel=DOSE
        ),
    ] = 1.0,
    random: Annotated[
        int, typer.Option(help="Random directions at each dose and place.", rich_help_panel=DOSE)
    ] = 3,
    judge: Annotated[
        str,
        typer.Option(
            help="subword, ngram, hf:NAME or llm:MODEL@URL. Not the one that calibrated.",
            rich_help_panel=JUDGED,
        ),
    ] = "subword",
    least_auroc: Annotated[
        float,
        typer.Option(
            help="Held-out AUROC, mean of the basic six, that the judge needs in a language; 0: any.",
            rich_help_panel=JUDGED,
        ),
    ] = 0.70,
    n_prompts: Annotated[
        int, typer.Option(help="Evaluation prompts a language.", rich_help_panel=JUDGED)
    ] = 24,
    tokens: Annotated[int, typer.Option(help="Tokens of an answer, at most.", rich_help_panel=JUDGED)] = 48,
    least_tokens: LeastTokens = 0,
    temperature: Annotated[float, typer.Option(rich_help_panel=JUDGED)] = 0.8,
    top_k: Annotated[int, typer.Option(help="0: all tokens.", rich_help_panel=JUDGED)] = 50,
    top_p: Annotated[float, typer.Option(rich_help_panel=JUDGED)] = 1.0,
    token_cap: Annotated[
        int, typer.Option(help="Generated tokens in all, at most.", rich_help_panel=RUN)
    ] = 500_000,
    out: Annotated[
        Path, typer.Option(help="Run folder; a study that stopped goes on from it.", rich_help_panel=RUN)
    ] = Path("runs/steering-languages"),
    dtype: Dtype = "bfloat16",
    device: Device = "auto",
    revision: Revision = None,
    trust_remote_code: Trust = False,
    template_arg: TemplateArg = None,
    batch_size: Batch = 40,
    seed: Seed = 0,
) -> None:
    """Steer answers in one language by the concepts of another: every source by every output, judged.

    Writes results.json, tables/ and report.html into the run folder. Takes calibrated vectors.

    For example:

    emospace steer languages --out runs/steering-languages

    emospace steer languages --sources en,zh --outputs en,zh --emotions joy,sadness --out runs/quick
    """
    from emospace.evaluation.crossing import CrossingSpec

    given: dict[str, Any] = {
        "model": model,
        "sources": split(sources or ()),
        "outputs": split(outputs or ()),
        "mode": mode.value,
        "factor": factor,
        "n_random": random,
        "judge": judge,
        "least_auroc": least_auroc,
        "n_prompts": n_prompts,
        "concepts": concepts,
        "sampling": sampling_of(tokens, least_tokens, temperature, top_k, top_p, seed),
        "token_cap": token_cap,
        "batch_size": batch_size,
        "seed": seed,
        "out": out,
    }
    if emotions:
        given["emotions"] = split(emotions)
    spec = build_spec(CrossingSpec, CROSSING, given)
    folder = run_folder(out)
    flags = {
        "--source": source,
        "--dtype": dtype if dtype != "bfloat16" else None,
        "--device": device if device != "auto" else None,
        "--revision": revision,
    }
    command = crossing_command(spec, flags, trust_remote_code, template_arg or ())
    loaded, bank = load(model, source, dtype, device, revision, trust_remote_code, template_arg)
    from emospace.evaluation.crossing import run_crossing
    from emospace.report import write_report

    show_crossing(run_crossing(spec, loaded, bank, command=command))
    say(f"Report: {write_report(folder)}")


def show_crossing(found: Evaluation) -> None:
    """Print the matrix of mean rates, source by output, and what could not be given."""
    means = found.tables["means"]
    if len(means):
        shown = means.assign(
            span=[
                f"{low:.2f} to {high:.2f}"
                for low, high in zip(means["rate_low"], means["rate_high"], strict=True)
            ]
        )
        judged = ["n_judged", "n_unjudged"] if means["n_unjudged"].any() else []
        fields = [
            "source",
            "output",
            *judged,
            "rate",
            "span",
            "rate_masked",
            "control_rate",
            "base_rate",
            "p_fdr",
        ]
        table(
            "Answers heard as the target, mean over the basic emotions",
            (
                *("concepts", "answers", *(["judged", "unjudged"] if judged else []), "rate", "95% CI"),
                *("masked", "random", "unsteered"),
                *("p (FDR)", "perplexity ratio", "in language"),
            ),
            shown[[*fields, "perplexity_ratio", "in_language"]].itertuples(index=False),
        )
    for missing in found.not_computed:
        where = f" ({missing.language})" if missing.language else ""
        say(f"Not computed: {missing.what}{where}: {missing.why}")


def crossing_command(
    spec: CrossingSpec, flags: dict[str, str | None], trust: bool, template_arg: Sequence[str] = ()
) -> str:
    """Return the one line that runs the study again."""
    default = type(spec.sampling)()
    words = ["emospace steer languages", *(["--trust-remote-code"] if trust else [])]
    for option, value in flags.items():
        words += [] if value is None else [option, shlex.quote(value)]
    for given in template_arg:
        words += ["--template-arg", shlex.quote(given)]
    for field, option in SAMPLING.items():
        if (value := getattr(spec.sampling, field)) != getattr(default, field):
            words += [option, str(value)]
    return command_line(" ".join(words), spec, CROSSING, spec.out)
