"""What a study is asked to do: one specification, shared by library, command line and API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from emospace.activations import Pooling
from emospace.features import MAX_FEATURES, Rule


class StudySpec(BaseModel):
    """A study of one model in some languages.

    Names are resolved when the study runs: a model by `models.load_model`, norms by `norms.load_norms` (a bundled
    name or a file), an SAE by `sae.load_sae`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "embedded"
    revision: str | None = Field(default=None, description="commit, tag or branch of a hub id")
    languages: tuple[str, ...] = ("en", "zh")
    norms: tuple[str, ...] = Field(
        default=(), description="names or files; a language without one keeps its default set"
    )
    categories: str = Field(
        default="all", description="all, the name of a list (basic, paper26, goemotions), or a file"
    )
    concepts: Path | None = Field(default=None, description="your own concept-sets, TOML")
    sae: str = Field(default="auto", description="auto, none, train, a folder, or release:id")
    sae_corpus: tuple[Path, ...] = Field(default=(), description="running text, for sae='train'")
    sae_tokens: int = Field(default=2_000_000, gt=0, description="training tokens, for sae='train'")
    dtype: str = "float32"
    device: str = "auto"
    trust_remote_code: bool = False
    template_args: dict[str, Any] = Field(
        default={}, description="what the chat template is given, where steering is illustrated"
    )
    pooling: Pooling = Field(
        default="last", description="state of a word: its last token, or the mean over its tokens"
    )
    engine: str = Field(default="local", description="local, ray, or ray://host:port")
    workers: int | None = Field(default=None, gt=0, description="models held at once by the engine ray")
    n_carriers: int = Field(default=3, gt=0, description="carrier sentences averaged over")
    layer: int | None = Field(default=None, description="layer of dense directions when there is no SAE")
    rule: Rule = "standardised"
    q: float = Field(default=0.05, gt=0, lt=1)
    max_features: int = Field(default=MAX_FEATURES, gt=0)
    universal: int | None = Field(
        default=None,
        gt=0,
        description="languages in which a shared latent is a feature; none: both of two, most of more",
    )
    n_draws: int = Field(default=1000, ge=0, description="matched draws of outside latents")
    n_shuffled: int | None = Field(
        default=None, ge=0, description="shuffled concept-sets; none: 5 with an SAE, 100 without"
    )
    n_permutations: int = Field(default=9999, gt=0)
    folds: int = Field(default=5, ge=3)
    cebra: bool = True
    steering: bool = Field(
        default=True,
        description="six emotions on eight prompts a language, where the model has calibrated vectors",
    )
    seed: int = 0

    @field_validator("languages")
    @classmethod
    def _some_language(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        if not languages:
            raise ValueError("name at least one language")
        return tuple(dict.fromkeys(languages))
