"""`emospace steer`: a model's answer beside the same answer in another tone."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from emospace.cli.options import REVISION, TEMPLATE_ARG
from emospace.cli.steered import Asked, show_beams, show_stream, write_batch
from emospace.cli.tone import asked_tone, layers_of, load, read_batch, read_prompt, sampling_of, window_of
from emospace.errors import EmospaceError

COMMANDS = ("calibrate", "evaluate", "export", "languages")
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


class Mode(StrEnum):
    """What a dose is measured in."""

    relative = "relative"
    constant = "constant"


class Scope(StrEnum):
    """Which tokens are steered."""

    prompt = "prompt"
    response = "response"
    all = "all"


class Op(StrEnum):
    """What is done to the states."""

    add = "add"
    clamp = "clamp"
    ablate = "ablate"


TONE, DOSE, SAMPLED, RUN = "Tone", "How it is applied", "Sampling", "Input, model and output"
WHAT, JUDGED = "What", "Prompts and judge"

Emotion = Annotated[
    str | None, typer.Option(help='"joy", or weights: "joy:0.7,surprise:0.3".', rich_help_panel=TONE)
]
Valence = Annotated[
    float | None,
    typer.Option(help="-1 (unpleasant) to 1 (pleasant), in place of --emotion.", rich_help_panel=TONE),
]
Arousal = Annotated[float | None, typer.Option(help="-1 (calm) to 1 (excited).", rich_help_panel=TONE)]
Model = Annotated[
    str,
    typer.Option(
        help="embedded (SmolLM2-135M-Instruct), a hub id, a folder or a GGUF file.", rich_help_panel=RUN
    ),
]
Revision = Annotated[str | None, typer.Option(help=REVISION, rich_help_panel=RUN)]
TemplateArg = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help=TEMPLATE_ARG, rich_help_panel=RUN)
]
Source = Annotated[
    str | None,
    typer.Option(
        help="Which calibrated vectors: mix, sae or dense; else the first of these that the model has.",
        rich_help_panel=RUN,
    ),
]
LEAST_TOKENS = "Tokens before an answer may end, for models that end at once."
LeastTokens = Annotated[int, typer.Option(help=LEAST_TOKENS, rich_help_panel=JUDGED)]
Dtype = Annotated[
    str,
    typer.Option(help="float32, bfloat16, float16, or auto: bfloat16 where it is fast.", rich_help_panel=RUN),
]
Device = Annotated[
    str, typer.Option(help="auto, a torch device, or map to spread over several GPUs.", rich_help_panel=RUN)
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Run code that comes with the model. Only if you trust its authors.",
        rich_help_panel=RUN,
    ),
]


Emotions = Annotated[
    list[str] | None,
    typer.Option(help="Comma-separated or repeated; without it all there are.", rich_help_panel=WHAT),
]
Language = Annotated[str, typer.Option(help="Of concepts, prompts and judge.", rich_help_panel=WHAT)]
Prompts = Annotated[
    Path | None,
    typer.Option(
        help="Prompts of your own: TOML as data/prompts/en.toml, with [stems] for base models.",
        rich_help_panel=JUDGED,
    ),
]
Concepts = Annotated[
    Path | None,
    typer.Option(help="Concept-sets of your own: a TOML file or a folder.", rich_help_panel=WHAT),
]
Seed = Annotated[int, typer.Option(help="Of every random draw.", rich_help_panel=RUN)]
Batch = Annotated[int, typer.Option(help="Answers generated at once.", rich_help_panel=RUN)]


@app.command(TEXT, short_help="Answer a prompt in a tone (the word may be left out).")
def text(
    prompt: Annotated[
        str | None,
        typer.Argument(
            help="What the model is asked, or a beginning that a base model continues; - reads standard input.",
            show_default=False,
        ),
    ] = None,
    emotion: Emotion = None,
    valence: Valence = None,
    arousal: Arousal = None,
    dose: Annotated[
        float | None,
        typer.Option(help="In units of the norm; without it the calibrated one.", rich_help_panel=DOSE),
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            help="relative: of each token's norm; constant: of the block's median norm, as exports have it.",
            rich_help_panel=DOSE,
        ),
    ] = Mode.relative,
    layers: Annotated[
        str | None, typer.Option(help="Some of the vector's layers: 14,18.", rich_help_panel=DOSE)
    ] = None,
    scope: Annotated[
        Scope | None, typer.Option(help="Which tokens; without it as calibrated.", rich_help_panel=DOSE)
    ] = None,
    op: Annotated[
        Op | None,
        typer.Option(
            help="add; clamp (raise where it is lower); ablate (take the tone out).", rich_help_panel=DOSE
        ),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(help="Tokens of the answer: 0:16, or 4: for all from the fifth.", rich_help_panel=DOSE),
    ] = None,
    tokens: Annotated[int, typer.Option(help="Tokens of an answer, at most.", rich_help_panel=SAMPLED)] = 96,
    least_tokens: Annotated[
        int,
        typer.Option(
            help=LEAST_TOKENS,
            rich_help_panel=SAMPLED,
        ),
    ] = 0,
    temperature: Annotated[
        float, typer.Option(help="0 takes the likeliest token.", rich_help_panel=SAMPLED)
    ] = 0.8,
    top_k: Annotated[int, typer.Option(help="0: all tokens.", rich_help_panel=SAMPLED)] = 50,
    top_p: Annotated[float, typer.Option(help="Share of the probability.", rich_help_panel=SAMPLED)] = 1.0,
    beams: Annotated[
        int,
        typer.Option(
            help="Beam search of this width in place of sampling, through the model's own generate.",
            rich_help_panel=SAMPLED,
        ),
    ] = 1,
    seed: Annotated[int, typer.Option(help="Of the sampling.", rich_help_panel=SAMPLED)] = 0,
    batch: Annotated[
        Path | None,
        typer.Option(
            help="A file of prompts, one a line (or JSONL with a field prompt); answers come as JSONL.",
            rich_help_panel=RUN,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="File for the answers of --batch; else they are printed.", rich_help_panel=RUN),
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="System prompt before each prompt.", rich_help_panel=RUN)
    ] = None,
    no_baseline: Annotated[
        bool, typer.Option("--no-baseline", help="Leave the unsteered answer out.", rich_help_panel=RUN)
    ] = False,
    model: Model = "embedded",
    source: Source = None,
    dtype: Dtype = "float32",
    device: Device = "auto",
    revision: Revision = None,
    trust_remote_code: Trust = False,
    template_arg: TemplateArg = None,
) -> None:
    """Answer a prompt without and with a tone, side by side.

    For example:

    emospace steer --emotion joy "Tell me about your day."

    emospace steer --emotion joy:0.7,surprise:0.3 --dose 0.8 "Describe a street."

    emospace steer --valence 0.8 --arousal -0.3 "What did you do last weekend?"

    emospace steer --emotion fear --batch prompts.txt --out answers.jsonl
    """
    tone = asked_tone(emotion, valence, arousal, prompt, COMMANDS)
    prompts = read_batch(batch) if batch is not None else [read_prompt(prompt)]
    if batch is not None and prompt is not None:
        raise EmospaceError("a prompt and --batch", "both say what to ask", "Give one of them.")
    if out is not None and batch is None:
        raise EmospaceError(
            f"--out {out}", "it is for the answers of --batch", "Leave it out, or give --batch."
        )
    if beams < 1:
        raise EmospaceError(f"--beams {beams}", "it is no number of beams", "Give 1 (sampling) or more.")
    options: dict[str, Any] = {"scope": scope and scope.value, "op": op and op.value}
    options |= {"window": window_of(window), "layers": layers_of(layers)}
    sampling = sampling_of(tokens, least_tokens, temperature, top_k, top_p, seed)
    loaded, bank = load(model, source, dtype, device, revision, trust_remote_code, template_arg)
    vector = tone.of(bank, mode.value)
    if options["layers"] is not None:
        vector = vector.at(options.pop("layers"))
    asked = Asked(
        loaded, vector, 0.0 if op is Op.ablate and dose is None else dose, options, sampling, system, beams
    )
    if batch is not None:
        write_batch(asked, prompts, out, baseline=not no_baseline)
    elif beams > 1:
        show_beams(asked, prompts[0], baseline=not no_baseline)
    else:
        show_stream(asked, prompts[0], baseline=not no_baseline)
