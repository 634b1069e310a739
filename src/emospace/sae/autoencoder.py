"""`SparseAutoencoder`: SAELens' format, read and applied with safetensors and torch alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.artefacts import atomic_write, content_hash, read_json, write_json
from emospace.errors import EmospaceError, unknown
from emospace.models import shipped

if TYPE_CHECKING:
    import torch
    from scipy.sparse import csr_matrix

    from emospace.models import LanguageModel

log = logging.getLogger(__name__)

ARCHITECTURES = ("standard", "topk", "jumprelu")
NORMALISATIONS = ("none", "layer_norm", "constant_norm_rescale")
UNSCALED = "expected_average_only_in"
"""SAELens' name for training on states scaled by a factor that belongs into the weights afterwards."""


@dataclass(frozen=True)
class SparseAutoencoder:
    """A sparse autoencoder of one layer's residual stream.

    Attributes
    ----------
    w_enc, b_enc
        float32 ``[d_model, n_latents]`` and ``[n_latents]``.
    w_dec, b_dec
        float32 ``[n_latents, d_model]`` and ``[d_model]``; a row of `w_dec` is a latent's direction.
    architecture
        ``standard`` (ReLU), ``topk`` or ``jumprelu``.
    layer
        The residual stream after this many blocks.
    threshold
        float32 ``[n_latents]``, for ``jumprelu``.
    k
        Latents kept for each state, for ``topk``.
    normalisation
        What is done to a state first: ``none``, ``layer_norm`` or ``constant_norm_rescale`` (to norm sqrt(d)).
    subtract_decoder_bias
        Whether `b_dec` is taken from a state before encoding.
    rescale_by_decoder_norm
        Whether pre-activations are multiplied by their decoder row's norm before latents are chosen.
    card
        Corpus, tokens, sparsity, explained variance, seed, command and so on, as recorded by who trained it.
    """

    w_enc: torch.Tensor
    b_enc: torch.Tensor
    w_dec: torch.Tensor
    b_dec: torch.Tensor
    architecture: str
    layer: int
    threshold: torch.Tensor | None = None
    k: int | None = None
    normalisation: str = "none"
    subtract_decoder_bias: bool = True
    rescale_by_decoder_norm: bool = False
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_latents(self) -> int:
        """Number of latents."""
        return int(self.w_enc.shape[1])

    @property
    def d_model(self) -> int:
        """Width of the residual stream it reads."""
        return int(self.w_enc.shape[0])

    @property
    def content_hash(self) -> str:
        """Sixteen hex digits that change with any weight or setting."""
        settings = [self.architecture, self.layer, self.k, self.normalisation, self.subtract_decoder_bias]
        weights = [tensor.numpy() for tensor in (self.w_enc, self.b_enc, self.w_dec, self.b_dec)]
        extra = [] if self.threshold is None else [self.threshold.numpy()]
        return content_hash([*settings, self.rescale_by_decoder_norm], *weights, *extra)

    def activations(self, states: torch.Tensor) -> torch.Tensor:
        """Return latent activations, dense: ``[n, d_model]`` to ``[n, n_latents]``."""
        import torch

        x, _ = self._normalise(states)
        if self.subtract_decoder_bias:
            x = x - self.b_dec.to(x)
        hidden = x @ self.w_enc.to(x) + self.b_enc.to(x)
        if self.rescale_by_decoder_norm:
            hidden = hidden * self.w_dec.to(x).norm(dim=1)
        if self.architecture == "topk":
            values, indices = hidden.topk(min(self.k or 1, self.n_latents), dim=-1, sorted=False)
            return torch.zeros_like(hidden).scatter_(-1, indices, values.relu())
        if self.architecture == "jumprelu" and self.threshold is not None:
            return hidden.relu() * (hidden > self.threshold.to(x))
        return hidden.relu()

    def reconstruct(self, states: torch.Tensor) -> torch.Tensor:
        """Return what the latents make of the states, ``[n, d_model]``."""
        activations = self.activations(states)
        if self.rescale_by_decoder_norm:
            activations = activations / self.w_dec.to(activations).norm(dim=1)
        _, undo = self._normalise(states)
        scale, shift = undo
        return (activations @ self.w_dec.to(activations) + self.b_dec.to(activations)) * scale + shift

    def encode(self, states: np.ndarray, *, batch: int = 4096) -> csr_matrix:
        """Return the codes of states, sparse: float32 ``[n, d_model]`` to ``[n, n_latents]``.

        Raises
        ------
        EmospaceError
            If the states are of another width than this autoencoder.
        """
        import torch
        from scipy.sparse import csr_matrix, vstack

        if states.shape[-1] != self.d_model:
            raise EmospaceError(
                f"an SAE of width {self.d_model}",
                f"the states given are {states.shape[-1]} wide",
                "Use an SAE trained on this model's residual stream.",
            )
        parts = []
        with torch.inference_mode():
            for low in range(0, len(states), batch):
                rows = torch.from_numpy(np.ascontiguousarray(states[low : low + batch], dtype=np.float32))
                parts.append(csr_matrix(self.activations(rows).numpy()))
        return vstack(parts, format="csr") if parts else csr_matrix((0, self.n_latents), dtype=np.float32)

    def _normalise(self, states: torch.Tensor) -> tuple[torch.Tensor, tuple[Any, Any]]:
        """Return the normalised states and ``(scale, shift)`` that undo it."""
        if self.normalisation == "layer_norm":
            mean = states.mean(-1, keepdim=True)
            std = (states - mean).std(-1, keepdim=True)
            return (states - mean) / (std + 1e-5), (std, mean)
        if self.normalisation == "constant_norm_rescale":
            scale = self.d_model**0.5 / states.norm(dim=-1, keepdim=True)
            return states * scale, (1 / scale, 0.0)
        return states, (1.0, 0.0)


def save_sae(sae: SparseAutoencoder, folder: Path, *, model_name: str, dtype: str = "float32") -> Path:
    """Write an autoencoder as a SAELens folder (``cfg.json``, ``sae_weights.safetensors``) with its card.

    `dtype` is that of the stored weights; whoever loads them computes in float32.
    """
    import torch
    from safetensors.torch import save_file

    tensors = {"W_enc": sae.w_enc, "b_enc": sae.b_enc, "W_dec": sae.w_dec, "b_dec": sae.b_dec}
    if sae.threshold is not None:
        tensors["threshold"] = sae.threshold
    stored = {name: tensor.to(getattr(torch, dtype)).contiguous() for name, tensor in tensors.items()}
    config: dict[str, Any] = {
        "architecture": sae.architecture,
        "d_in": sae.d_model,
        "d_sae": sae.n_latents,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": sae.subtract_decoder_bias,
        "normalize_activations": sae.normalisation,
        "reshape_activations": "none",
        "metadata": {
            # Without it SAELens takes the file for one of its old format and drops what follows.
            "sae_lens_version": version("sae-lens"),
            "model_name": model_name,
            "hook_name": f"blocks.{sae.layer - 1}.hook_resid_post"
            if sae.layer
            else "blocks.0.hook_resid_pre",
        },
    }
    if sae.architecture == "topk":
        config |= {"k": sae.k, "rescale_acts_by_decoder_norm": sae.rescale_by_decoder_norm}
    atomic_write(folder / "sae_weights.safetensors", lambda path: save_file(stored, str(path)))
    write_json(folder / "cfg.json", config)
    write_json(folder / "card.json", dict(sae.card))
    return folder


def load_sae(source: str | Path, model: LanguageModel | None = None) -> SparseAutoencoder:
    """Load an autoencoder and check that it fits the model.

    Parameters
    ----------
    source
        A SAELens folder, ``release:id`` of SAELens' registry (Gemma Scope, the Llama SAEs, ...; needs the hub),
        or the name of one shipped with emospace or with a model's package.
    model
        The model it is to read; None skips the check.

    Raises
    ------
    EmospaceError
        If it is not there, cannot be read, or its width or layer does not fit the model.
    """
    path = Path(source).expanduser()
    bundled = {folder.name: folder for folder in shipped("sae")}
    if (path / "cfg.json").is_file():
        sae = _read_folder(path)
    elif str(source) in bundled:
        sae = _read_folder(bundled[str(source)])
    elif ":" in str(source) and not path.exists():
        sae = _from_registry(*str(source).split(":", 1))
    elif path.exists():
        raise EmospaceError(
            f"SAE '{source}'", "the folder has no cfg.json", "Give a folder in SAELens' format."
        )
    else:
        raise unknown("SAE", str(source), [*bundled, "release:id of SAELens", "train", "none"])
    if model is not None:
        check_fit(sae, model, str(source))
    return sae


def check_fit(sae: SparseAutoencoder, model: LanguageModel, source: str) -> None:
    """Raise where an autoencoder's width or layer does not fit the model."""
    if sae.d_model != model.d_model:
        raise EmospaceError(
            f"SAE '{source}'",
            f"it reads states {sae.d_model} wide, but '{model.name}' has {model.d_model}",
            "Use an SAE made for this model, `--sae train`, or `--sae none` for dense directions.",
        )
    if sae.layer > model.n_blocks:
        raise EmospaceError(
            f"SAE '{source}'",
            f"it reads layer {sae.layer}, but '{model.name}' has {model.n_blocks} blocks",
            "Use an SAE made for this model.",
        )


def bundled_sae(model: LanguageModel) -> str | None:
    """Return the name of the shipped autoencoder trained on these very weights, if there is one."""
    for folder in shipped("sae"):
        card = read_json(folder / "card.json") if (folder / "card.json").is_file() else {}
        if card.get("model_sha256") and card["model_sha256"] == model.identity.get("sha256"):
            return folder.name
    return None


def _read_folder(folder: Path) -> SparseAutoencoder:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = read_json(folder / "cfg.json")
        tensors = load_file(str(folder / "sae_weights.safetensors"))
    except (OSError, ValueError, SafetensorError) as error:
        raise EmospaceError(
            f"SAE '{folder}'", f"it cannot be read ({error})", "Give a folder in SAELens' format."
        ) from error
    card = read_json(folder / "card.json") if (folder / "card.json").is_file() else {}
    return _build(config, tensors, card, str(folder))


def _from_registry(release: str, sae_id: str) -> SparseAutoencoder:
    """Load one of SAELens' registry through SAELens, which knows each publisher's format."""
    from sae_lens import SAE

    try:
        sae = SAE.from_pretrained(release, sae_id, device="cpu")
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise EmospaceError(
            f"SAE '{release}:{sae_id}'",
            f"SAELens could not load it ({reason})",
            "Check the release and id, and that the hub can be reached.",
        ) from error
    return _build(
        sae.cfg.to_dict(),
        dict(sae.state_dict()),
        {"release": release, "sae_id": sae_id},
        f"{release}:{sae_id}",
    )


def _build(
    config: Mapping[str, Any], tensors: Mapping[str, Any], card: Mapping[str, Any], source: str
) -> SparseAutoencoder:
    architecture = config.get("architecture", "standard")
    normalisation = config.get("normalize_activations") or "none"
    k = config.get("k")
    # SAELens before version 6 wrote top-k as an activation function of the standard architecture.
    if (config.get("activation_fn_str") or config.get("activation_fn")) == "topk":
        architecture, k = "topk", (config.get("activation_fn_kwargs") or {}).get("k", k)
    if architecture not in ARCHITECTURES or normalisation not in {*NORMALISATIONS, UNSCALED}:
        raise EmospaceError(
            f"SAE '{source}'",
            f"architecture '{architecture}' with normalisation '{normalisation}' is not supported",
            f"Use one of {', '.join(ARCHITECTURES)} (BatchTopK is saved for inference as jumprelu).",
        )
    if normalisation == UNSCALED:
        log.warning(
            "SAE %s was trained on states scaled by their average norm, and the scale is not in the file; "
            "like SAELens we encode the states as they are",
            source,
        )
        normalisation = "none"
    weights = {name: tensor.detach().float().cpu() for name, tensor in tensors.items()}
    _check_weights(weights, architecture, k, source)
    hook = (config.get("metadata") or {}).get("hook_name") or config.get("hook_name") or ""
    return SparseAutoencoder(
        w_enc=weights["W_enc"],
        b_enc=weights["b_enc"],
        w_dec=weights["W_dec"],
        b_dec=weights["b_dec"],
        architecture=architecture,
        layer=_layer_of(hook, source),
        threshold=weights["threshold"] if architecture == "jumprelu" else None,
        k=k if architecture == "topk" else None,
        normalisation=normalisation,
        subtract_decoder_bias=bool(config.get("apply_b_dec_to_input", True)),
        rescale_by_decoder_norm=bool(config.get("rescale_acts_by_decoder_norm", False)),
        card=card,
    )


def _check_weights(
    weights: Mapping[str, torch.Tensor], architecture: str, k: int | None, source: str
) -> None:
    """Raise where weights are missing or do not fit each other."""
    needed = ["W_enc", "b_enc", "W_dec", "b_dec", *(["threshold"] if architecture == "jumprelu" else [])]
    missing = [name for name in needed if name not in weights]
    if architecture == "topk" and not k:
        missing.append("k")
    if missing:
        raise EmospaceError(
            f"SAE '{source}'", f"it has no {', '.join(missing)}", "Give a folder in SAELens' format."
        )
    d_model, n_latents = weights["W_enc"].shape
    sizes = {"b_enc": (n_latents,), "W_dec": (n_latents, d_model), "b_dec": (d_model,)}
    wrong = [name for name, size in sizes.items() if tuple(weights[name].shape) != size]
    if wrong:
        raise EmospaceError(
            f"SAE '{source}'",
            f"its {', '.join(wrong)} do not fit W_enc of {d_model} x {n_latents}",
            "Give a folder in SAELens' format.",
        )


def _layer_of(hook: str, source: str) -> int:
    """Return our layer for a SAELens hook name."""
    parts = hook.split(".")
    if len(parts) >= 3 and parts[0] == "blocks" and parts[1].isdigit():
        if parts[2] == "hook_resid_post":
            return int(parts[1]) + 1
        if parts[2] == "hook_resid_pre":
            return int(parts[1])
    if len(parts) >= 3 and parts[:2] == ["model", "layers"] and parts[2].isdigit():
        return int(parts[2]) + 1
    raise EmospaceError(
        f"SAE '{source}'",
        f"it reads '{hook}', which is not the residual stream between blocks",
        "Use an SAE of hook_resid_pre or hook_resid_post.",
    )
