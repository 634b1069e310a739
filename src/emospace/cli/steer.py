"""`emospace steer`: a model's answer beside the same answer in another tone; calibrate and export its vectors."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from typer.core import TyperGroup

from emospace.cli.options import keep_spec, options_of, takes
from emospace.cli.steered import SteeredModel, show_answers, write_batch
from emospace.cli.tone import load_vector, read_batch, read_prompt, reader_of, window_of
from emospace.display import say, table, written
from emospace.errors import InvalidInput, unknown
from emospace.specs import OUTPUT, CalibrationSpec, ExportSpec, Mode, ShowSpec, TextSpec, condition_of
from emospace.specs.guidance import PLAIN, Guidance

if TYPE_CHECKING:
    from emospace.steering import DoseRange
    from emospace.steering.bank import VectorBank

COMMANDS = ("calibrate", "evaluate", "export", "languages", "rate", "show")
TEXT = "text"
"""The command that a prompt, or an option before it, stands for."""


class PromptGroup(TyperGroup):
    """A group whose first argument may be a prompt: what is no command's name goes to the command `TEXT`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `TEXT` before arguments that name no command."""
        named = args[:1] and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, [TEXT, *args] if args and not named else args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show the commands, then the options that go with a prompt."""
        super().format_help(ctx, formatter)
        command = self.commands[TEXT]
        command.format_help(type(ctx)(command, parent=ctx.parent, info_name=ctx.info_name), formatter)


app = typer.Typer(
    cls=PromptGroup,
    no_args_is_help=True,
    subcommand_metavar="PROMPT | COMMAND [ARGS]...",
    help="Set the tone of a model's answers.",
    epilog='A prompt that is a command\'s name: emospace steer text --emotion joy "export"',
)


@app.command(TEXT, short_help="Answer a prompt in a tone (the word may be left out).")
@takes(TextSpec)
def text(spec: TextSpec) -> None:
    """Answer a prompt without and with a tone, side by side.

    For example:

    emospace steer --emotion joy "Tell me about your day."

    emospace steer --emotion joy:0.7,surprise:0.3 --dose 0.8 "Describe a street."

    emospace steer --valence 0.8 --arousal -0.3 "What did you do last weekend?"

    emospace steer --emotion "anger | fear" "Describe a street."

    emospace steer --latent 1234 --dose 0.3 "Describe a street."

    emospace steer --emotion calmness --when "anger > 0.5" "I am furious that my parcel is late!"

    emospace steer --emotion fear --batch prompts.txt --out answers.jsonl
    """
    prompts = read_batch(spec.batch) if spec.batch is not None else [read_prompt(spec.prompt)]
    if spec.batch is not None and spec.prompt is not None:
        raise InvalidInput("a prompt and --batch", "both say what to ask", "Give one of them.")
    if spec.out is not None and spec.batch is None:
        raise InvalidInput(
            f"--out {spec.out}", "it is for the answers of --batch", "Leave it out, or give --batch."
        )
    from emospace.steering import plan_steering

    options: dict[str, Any] = {"scope": spec.scope, "op": spec.op, "window": window_of(spec.window)}
    guidance = spec.guidance
    if spec.beams > 1 and (guidance.block or not guidance.is_plain):
        plain = [option.words(f"{PLAIN[option.name]:g}") for option in options_of(Guidance)]
        raise InvalidInput(
            f"--beams {spec.beams} with guidance {guidance}",
            "a beam search runs through the model's own generate, which reads each text once",
            f"Leave out --beams, or give {' '.join(word for words in plain for word in words)}.",
        )
    condition = None if spec.when is None else condition_of(spec.when, "--when")
    if spec.beams > 1 and (condition or not spec.steer_thought):
        raise InvalidInput(
            f"--beams {spec.beams} with {'--when' if condition else '--no-steer-thought'}",
            "a beam search runs through the model's own generate, which tells nothing of what is said so far",
            "Leave out one of them.",
        )
    model, vector, _ = load_vector(spec, spec.mode, COMMANDS)
    gate = None
    if condition is not None:
        from emospace.reading import make_gate

        gate = make_gate(reader_of(spec, model), condition)
    plan = plan_steering(
        *(model, vector, spec.dose), guidance=guidance, gate=gate, thoughts=spec.steer_thought, **options
    )
    if spec.beams > 1:
        plan = replace(plan, guidance=None)
    steered = SteeredModel(model, plan, options, spec.sampling, spec.system, spec.beams)
    if spec.batch is not None:
        write_batch(steered, prompts, spec.out, baseline=spec.baseline)
    else:
        show_answers(steered, prompts[0], baseline=spec.baseline)


@app.command("calibrate")
@takes(CalibrationSpec)
def calibrate(
    spec: CalibrationSpec,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the vectors; else the cache, where every later call finds them.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
) -> None:
    """Make a model's steering vectors and find the dose of each emotion.

    The strongest tone that stays fluent is kept, in both modes of dose; later calls take it from there. What was
    tried is kept too: a calibration that was stopped goes on with the same command.

    For example:

    emospace steer calibrate --model HuggingFaceTB/SmolLM2-360M-Instruct

    emospace steer calibrate --source dense --emotions joy,fear --budget-perplexity 1.8 --budget-facts 0.7
    """
    from emospace.evaluation.calibration import calibrate as run
    from emospace.evaluation.prompts import load_prompts

    bank = run(spec, None if out is None else keep_spec(spec, out))
    show_calibration(bank)
    if out is None:
        kind = bank.note.get("prompt_kind", "questions")
        prompt = load_prompts(spec.language, "calibration", spec.prompts, kind)[0]
        use = ["emospace", "steer", "--model", spec.model, "--emotion", bank.names[0], prompt]
        say(f"Use them with: {shlex.join(use)}")
    else:
        written("Vectors", out)


def show_calibration(bank: VectorBank) -> None:
    """Print the dose of each emotion in both modes with the range that was measured, and what the relative one costs."""
    rows = []
    for name in bank.names:
        cost: Mapping[str, Any] = bank.note.get("chosen", {}).get(name, {})
        row: list[object] = [name, *(cost.get(part) for part in ("rate", "perplexity_ratio", "facts"))]
        for mode in get_args(Mode):
            vector = bank.vectors.get((name, mode))
            dose = vector.calibration.get(mode) if vector is not None else None
            row.append(None if dose is None else _ranged(dose))
        rows.append(row)
    columns = ("emotion", "rate", "perplexity ratio", "facts kept", "relative (range)", "constant (range)")
    table("Calibrated doses and what they cost on calibration prompts", columns, rows)


def _ranged(doses: DoseRange) -> str:
    """Return a dose with the range of those tried around it, alone where none was."""
    low, high = doses.low, doses.high
    return f"{doses.dose:.2f}" + ("" if low == high else f" ({low:.2f} to {high:.2f})")


@app.command("export")
@takes(ExportSpec)
def export(spec: ExportSpec) -> None:
    """Write a calibrated vector for another engine: mode constant, all tokens, added.

    For example:

    emospace steer export --emotion joy --format gguf --out joy.gguf

    emospace steer export --emotion fear --format baked --out fearful-model

    emospace steer export --valence -0.7 --format lm-eval --out gloomy.pt
    """
    from emospace.steering.export import EXPORTERS, export_vector as write

    if spec.format not in EXPORTERS:
        raise unknown("export format", spec.format, sorted(EXPORTERS))
    model, vector, _ = load_vector(spec, "constant")
    path = write(vector, spec.out, spec.format, model, spec.dose)
    dose = vector.dose("constant") if spec.dose is None else spec.dose
    written("Written", path)
    say(f"{vector.name}, constant dose {dose:g}, layers {', '.join(map(str, vector.layers))}")


@app.command("show")
@takes(ShowSpec)
def show(spec: ShowSpec) -> None:
    """Show what a vector is: dose and share by layer, tokens it promotes, the nearest latents and emotions.

    Promoted tokens are those of the logit lens: the direction read out as if no block followed.

    For example:

    emospace steer show --emotion joy

    emospace steer show --emotion "joy:1,surprise:-1" --top 20

    emospace steer show --latent 1234

    emospace steer show --direction mine.safetensors --model path/to/model
    """
    from emospace.sae import sae_for
    from emospace.steering.lens import nearest_latents, nearest_vectors, promoted_tokens

    model, vector, bank = load_vector(spec)
    rows = [(at, vector.shares[at], vector.medians[at]) for at in vector.layers]
    table(
        f"{vector.name} ({vector.kind}, made for {vector.model})",
        ("layer", "share of the dose", "median norm"),
        rows,
    )
    for title, suppressed in (("Promoted tokens", False), ("Suppressed tokens", True)):
        tokens = promoted_tokens(model, vector, spec.top, suppressed=suppressed)
        shown = [
            (layer, " ".join(f"{text!r} {z:+.1f}" for text, z in ranked)) for layer, ranked in tokens.items()
        ]
        table(f"{title} (logit in standard deviations)", ("layer", "tokens"), shown)
    sae = sae_for(model, spec.sae)
    if sae is not None and (latents := nearest_latents(vector, sae, spec.top)):
        table(f"Nearest latents at layer {sae.layer}", ("latent", "cosine"), latents)
    relative = {} if bank is None else bank.in_mode("relative")
    others = {name: other for name, other in relative.items() if name != vector.name}
    table("Nearest emotions", ("emotion", "cosine"), nearest_vectors(vector, others)[: spec.top])
