"""What all specifications share: an option, a model and how it is loaded, the words of ``--help``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Mode = Literal["relative", "constant"]
Scope = Literal["prompt", "response", "all"]
Op = Literal["add", "clamp", "ablate"]
VectorSource = Literal["mix", "sae", "features", "dense"]
CalibratedSource = Literal["mix", "sae", "dense"]
Pooling = Literal["last", "mean"]
Rule = Literal["rank", "rate", "standardised"]

BASIC = ("anger", "disgust", "fear", "joy", "sadness", "surprise")
MAX_FEATURES = 370
SHARD_TOKENS = 65_536
"""States in one file of a training set."""

MODEL, WHAT, TESTS, OUTPUT = "Model", "What is studied", "Features and tests", "Output"
TONE, DOSE, SAMPLED, JUDGED = "Tone", "How it is applied", "Sampling", "Prompts and judge"
ACCESS, BOUNDS = "Who may ask", "Bounds of requests"

COMMA = "Comma-separated or repeated"
SAE_HELP = "auto (the shipped one, else none), none, a folder, or release:id."
SEED_HELP = "Of every random draw."
CONCEPTS_OF = "Language of the concepts the vectors were made of; without it"
SOURCE_HELP = "Which calibrated vectors: mix, sae or dense; else the first of these that the model has."


def option(
    default: Any,
    description: str,
    *,
    panel: str | None = None,
    flag: str | None = None,
    old: str | None = None,
    argument: str | None = None,
    metavar: str | None = None,
    comma: bool = False,
    **constraints: Any,
) -> Any:
    """Return a field that is an option of the command line.

    Parameters
    ----------
    panel
        Heading of ``--help`` under which it stands.
    flag
        Its name, where that is not ``--`` and the field's name.
    old
        A former name, still accepted and not shown.
    argument
        For a positional argument: its name in ``--help``.
    comma
        Whether a value given as text holds several, separated by commas; numbers always may.
    constraints
        Those of `pydantic.Field`, such as ``gt=0``.
    """
    shown: Any = {
        "panel": panel,
        "flag": flag,
        "old": old,
        "argument": argument,
        "metavar": metavar,
        "comma": comma,
    }
    return Field(default, description=description, json_schema_extra={"option": shown}, **constraints)


class Spec(BaseModel):
    """Base of all specifications: immutable, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSpec(Spec):
    """A model and how it is loaded."""

    model: str = option(
        "embedded",
        "embedded (SmolLM2-135M-Instruct), a hub id, a folder or a GGUF file.",
        panel=MODEL,
    )
    revision: str | None = option(
        None, "Commit, tag or branch of a hub id; a commit pins the model.", panel=MODEL
    )
    dtype: str = option(
        "auto", "float32, bfloat16, float16, or auto: bfloat16 where it is fast.", panel=MODEL
    )
    device: str = option("auto", "auto, a torch device, or map to spread over several GPUs.", panel=MODEL)
    trust_remote_code: bool = option(
        False, "Run code that comes with the model. Only if you trust its authors.", panel=MODEL
    )

    @property
    def loading(self) -> dict[str, Any]:
        """The arguments of `models.load_model` beside the name."""
        names = {"revision", "dtype", "device", "trust_remote_code", "template_args"}
        return {name: getattr(self, name) for name in type(self).model_fields if name in names}


class ChatModelSpec(ModelSpec):
    """A model whose chat template is used."""

    template_args: dict[str, Any] = option(
        {},
        "Argument of the chat template, as enable_thinking=false (JSON, else text); repeatable.",
        flag="--template-arg",
        metavar="NAME=VALUE",
        panel=MODEL,
    )
