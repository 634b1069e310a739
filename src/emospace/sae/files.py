"""Autoencoders on disk and in SAELens' registry: read with safetensors and torch alone, written for SAELens."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from emospace.artefacts import atomic_write, read_object, write_json
from emospace.errors import EmospaceError, MissingDependency, first_line, unknown
from emospace.models import missing_companion, shipped
from emospace.models.hub import hub
from emospace.sae.autoencoder import SparseAutoencoder
from emospace.sae.configs import Settings, gemma_scope_config, read_settings

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel

log = logging.getLogger(__name__)

SAELENS_FORMAT = "6.54.12"
"""Version of SAELens in whose format autoencoders are written, and which is tested to read them."""

CONFIGS = ("cfg.json", "config.json")
WEIGHTS = ("sae_weights.safetensors", "params.safetensors", "params.npz")
"""Names in SAELens' folders, in Gemma Scope 2 and in Gemma Scope 1, which has no configuration."""

_GIVEN = "Give a folder in SAELens' or Gemma Scope's format, as downloaded."
_TENSORS = {
    "standard": {"b_enc": "b_enc"},
    "topk": {"b_enc": "b_enc"},
    "jumprelu": {"b_enc": "b_enc", "threshold": "threshold"},
    "gated": {"b_gate": "b_enc", "r_mag": "r_mag", "b_mag": "b_mag"},
}
"""Architecture -> name of each tensor ``[n_latents]`` in a file -> field."""
_SCALES = ("finetuning_scaling_factor", "scaling_factor")


def save_sae(sae: SparseAutoencoder, folder: Path, *, model_name: str, dtype: str = "float32") -> Path:
    """Write an autoencoder as a SAELens folder (``cfg.json``, ``sae_weights.safetensors``) with its card.

    `dtype` is that of the stored weights, but for `b_dec`, which holds the mean state and stays float32; whoever
    loads them computes in float32.
    """
    import torch
    from safetensors.torch import save_file

    tensors = {"W_enc": sae.w_enc, "W_dec": sae.w_dec, "b_dec": sae.b_dec}
    tensors |= {name: getattr(sae, field) for name, field in _TENSORS[sae.architecture].items()}
    kept = {"b_dec": torch.float32}
    stored = {
        name: tensor.to(kept.get(name, getattr(torch, dtype))).contiguous()
        for name, tensor in tensors.items()
    }
    metadata: dict[str, Any] = {
        # Without it SAELens takes the file for one of its old format and drops what follows.
        "sae_lens_version": SAELENS_FORMAT,
        "model_name": model_name,
        "hook_name": f"blocks.{sae.layer - 1}.hook_resid_post" if sae.layer else "blocks.0.hook_resid_pre",
    }
    if sae.centred:
        metadata["model_from_pretrained_kwargs"] = {"center_writing_weights": True}
    config: dict[str, Any] = {
        "architecture": sae.architecture,
        "d_in": sae.d_model,
        "d_sae": sae.n_latents,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": sae.subtract_decoder_bias,
        "normalize_activations": sae.normalisation,
        "reshape_activations": "none",
        "metadata": metadata,
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
        A folder in SAELens' or Gemma Scope's format, ``release:id`` of SAELens' registry (Gemma Scope, the Llama
        SAEs, ...; needs the hub), or the name of one shipped with emospace or with a model's package.
    model
        The model it is to read; None skips the check.

    Raises
    ------
    EmospaceError
        If it is not there, cannot be read, asks for what is not computed here, or its width or layer does not fit
        the model.
    """
    path = Path(source).expanduser()
    if path.name in (*CONFIGS, *WEIGHTS):
        path = path.parent
    if any((path / name).is_file() for name in (*CONFIGS, *WEIGHTS)):
        sae = _read_folder(path)
    elif bundled := {folder.name: folder for folder in shipped("sae")}.get(str(source)):
        sae = _read_folder(bundled)
    elif not path.exists() and (":" in str(source) or _is_release(str(source))):
        release, _, sae_id = str(source).partition(":")
        sae = _from_registry(release, sae_id)
    elif path.exists():
        raise EmospaceError(f"SAE '{source}'", f"it has no {' or '.join(CONFIGS)}", _GIVEN)
    else:
        raise unknown(
            "SAE",
            str(source),
            [*(folder.name for folder in shipped("sae")), "release:id of SAELens", "train", "none"],
        )
    return sae if model is None else fitted(sae, model, str(source))


def fitted(sae: SparseAutoencoder, model: LanguageModel, source: str) -> SparseAutoencoder:
    """Return an autoencoder as it reads a model's states.

    Raises
    ------
    EmospaceError
        If its width or layer does not fit the model.
    """
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
    if sae.centred and not _subtracts_mean(model):
        # TransformerLens centres only where every block's norm takes the mean away by itself.
        log.info("SAE %s: '%s' has RMS norms, so its states were not centred", source, model.name)
        return replace(sae, centred=False)
    return sae


def sae_for(model: LanguageModel, source: str = "auto") -> SparseAutoencoder | None:
    """Return the autoencoder a model is asked for with, or None for dense directions.

    Parameters
    ----------
    source
        ``auto`` (the shipped one that was trained on these very weights, if there is one), ``none``, or what `load_sae`
        takes.

    Raises
    ------
    EmospaceError
        As `load_sae`: also where it does not fit the model.
    """
    name = bundled_sae(model) if source == "auto" else source
    return None if name in (None, "none") else load_sae(str(name), model)


def bundled_sae(model: LanguageModel) -> str | None:
    """Return the name of the shipped autoencoder trained on these very weights, if there is one.

    Parameters
    ----------
    model
        A loaded model; the hash of its weights (``model.identity["sha256"]``) decides, whatever it is called.
    """
    for folder in shipped("sae"):
        card = _card(folder)
        if card.get("model_sha256") and card["model_sha256"] == model.identity.get("sha256"):
            return folder.name
    return None


def automatic_sae(model: LanguageModel) -> str:
    """Return a line on what ``auto`` gives a model: the name of its shipped autoencoder, or how to get one."""
    if name := bundled_sae(model):
        return f"SAE of '{model.name}': {name}, which ships for these weights."
    if command := missing_companion(model.identity.get("sha256")):
        return f"The SAE of '{model.name}' is not installed: using dense directions ({command})."
    return f"No SAE ships for '{model.name}': using dense directions (`emospace sae train` makes one)."


def _subtracts_mean(model: LanguageModel) -> bool:
    """Return whether a model's blocks have LayerNorms, which take the mean over `d_model` away, not RMS norms."""
    names = [type(module).__name__ for module in model.blocks[0].modules()]
    return any(name.endswith("LayerNorm") and "RMS" not in name for name in names)


def _read_folder(folder: Path) -> SparseAutoencoder:
    from safetensors import SafetensorError

    config_file, weights_file = (
        next((folder / name for name in names if (folder / name).is_file()), None)
        for names in (CONFIGS, WEIGHTS)
    )
    if weights_file is None:
        raise EmospaceError(f"SAE '{folder}'", f"it has no weights ({', '.join(WEIGHTS)})", _GIVEN)
    of_gemma_scope = weights_file.name != WEIGHTS[0]
    if config_file is None and not of_gemma_scope:
        raise EmospaceError(f"SAE '{folder}'", "it has no cfg.json", _GIVEN)
    config = gemma_scope_config(folder) if config_file is None else read_object(config_file, hint=_GIVEN)
    card = _card(folder)
    try:
        tensors = _read_weights(weights_file)
    # An archive may hold anything: entries that are no arrays come as bytes.
    except (OSError, ValueError, TypeError, BadZipFile, SafetensorError) as error:
        raise EmospaceError(f"SAE '{folder}'", f"it cannot be read ({first_line(error)})", _GIVEN) from error
    if of_gemma_scope:
        config = {"apply_b_dec_to_input": False, **config}
        tensors = {name.replace("w_", "W_", 1): tensor for name, tensor in tensors.items()}
    return _build(config, tensors, card, str(folder))


def _card(folder: Path) -> dict[str, Any]:
    """Return the card beside an autoencoder's weights, empty where there is none."""
    file = folder / "card.json"
    return read_object(file, hint=_GIVEN) if file.is_file() else {}


def _read_weights(file: Path) -> dict[str, torch.Tensor]:
    if file.suffix == ".npz":
        import numpy as np
        import torch

        with np.load(file) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    from safetensors.torch import load_file

    return dict(load_file(str(file)))


def _from_registry(release: str, sae_id: str) -> SparseAutoencoder:
    """Load one of SAELens' registry through SAELens, which knows each publisher's format."""
    try:
        from sae_lens import SAE
    except ImportError as error:
        raise MissingDependency(
            f"SAE '{release}:{sae_id}'",
            "published autoencoders are found through SAELens, which is not installed",
            "Run: pip install 'emospace[saelens]'; or give the folder of a downloaded autoencoder.",
        ) from error

    _check_registered(release, sae_id)
    try:
        with hub(release):
            sae = SAE.from_pretrained(release, sae_id, device="cpu")
    except Exception as error:
        raise EmospaceError(
            f"SAE '{release}:{sae_id}'",
            f"SAELens could not load it ({first_line(error)})",
            "Check the release and id, and that the hub can be reached.",
        ) from error
    return _build(
        sae.cfg.to_dict(),
        dict(sae.state_dict()),
        {"release": release, "sae_id": sae_id},
        f"{release}:{sae_id}",
    )


def _is_release(name: str) -> bool:
    """Return whether SAELens' registry has a release of this name, without importing SAELens."""
    package = find_spec("sae_lens")
    if package is None or not package.submodule_search_locations:
        return False
    registry = Path(package.submodule_search_locations[0]) / "pretrained_saes.yaml"
    return registry.is_file() and f"\n{name}:\n" in "\n" + registry.read_text(encoding="utf-8")


def _check_registered(release: str, sae_id: str) -> None:
    """Raise, with the nearest names, where SAELens' registry does not know a release or id.

    A repository of the hub that the registry does not name passes: it may hold a folder in SAELens' format.
    """
    from difflib import SequenceMatcher, get_close_matches

    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    known = get_pretrained_saes_directory()
    repositories = {entry.repo_id for entry in known.values()}
    if release in known:
        if sae_id in known[release].saes_map:
            return
        why = f"release '{release}' has no such id" if sae_id else "it names a release without an id"
        releases = [release]
    elif release in repositories:
        why = f"'{release}' is a repository, whose releases have names of their own in SAELens"
        releases = [name for name, entry in known.items() if entry.repo_id == release]
    elif "/" in release:
        return
    else:
        why = f"SAELens has no release '{release}'"
        releases = get_close_matches(release, known, n=8, cutoff=0.6)

    def likeness(name: tuple[str, str]) -> float:
        of_release, of_id = name
        entry = known[of_release]
        forms = (f"{of_release}:{of_id}", f"{entry.repo_id}:{entry.saes_map[of_id]}")
        return max(SequenceMatcher(None, f"{release}:{sae_id}", form).ratio() for form in forms)

    names = sorted(((name, of_id) for name in releases for of_id in known[name].saes_map), key=likeness)
    near = [":".join(name) for name in names[:-4:-1]]
    raise EmospaceError(
        f"SAE '{release}:{sae_id}'",
        why,
        f"Did you mean {' or '.join(near)}?"
        if near
        else "See https://decoderesearch.github.io/SAELens/latest/pretrained_saes/ for the names.",
    )


def _build(
    config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], card: Mapping[str, Any], source: str
) -> SparseAutoencoder:
    settings = read_settings(config, source)
    weights = {name: tensor.detach().float().cpu() for name, tensor in tensors.items()}
    scales = [weights.pop(name) for name in _SCALES if name in weights]
    _check_weights(weights, settings, source)
    return SparseAutoencoder(
        w_enc=weights["W_enc"],
        w_dec=_finetuned(weights["W_dec"], scales[0] if scales else None, settings, source),
        b_dec=weights["b_dec"],
        **{field: weights[name] for name, field in _TENSORS[settings.architecture].items()},
        architecture=settings.architecture,
        layer=settings.layer,
        k=settings.k,
        normalisation=settings.normalisation,
        centred=settings.centred,
        subtract_decoder_bias=settings.subtract_decoder_bias,
        rescale_by_decoder_norm=settings.rescale_by_decoder_norm,
        card=card,
    )


def _finetuned(
    w_dec: torch.Tensor, scale: torch.Tensor | None, settings: Settings, source: str
) -> torch.Tensor:
    """Return the decoder with the factor ``[n_latents]`` by which SAELens before 6 scaled activations to decode."""
    if scale is None or bool((scale - 1).abs().max() < 1e-8):
        return w_dec
    if not settings.finetuned or settings.rescale_by_decoder_norm or scale.shape != w_dec.shape[:1]:
        raise EmospaceError(
            f"SAE '{source}'",
            "its weights hold a scaling factor, which its configuration does not explain",
            'Where it was fine-tuned, say "finetuning_scaling_factor": true in its configuration.',
        )
    return w_dec * scale[:, None]


def _check_weights(weights: Mapping[str, torch.Tensor], settings: Settings, source: str) -> None:
    """Raise where weights are missing, do not fit each other, or are not part of the architecture."""
    of_latents = list(_TENSORS[settings.architecture])
    needed = ["W_enc", "W_dec", "b_dec", *of_latents]
    missing = [name for name in needed if name not in weights]
    if settings.architecture == "topk" and not settings.k:
        missing.append("k")
    if missing:
        raise EmospaceError(f"SAE '{source}'", f"it has no {', '.join(missing)}", _GIVEN)
    others = sorted(set(weights) - set(needed))
    if others:
        raise EmospaceError(
            f"SAE '{source}'",
            f"its weights hold {', '.join(others)}, which are no part of architecture '{settings.architecture}'",
            "Check the architecture in its configuration.",
        )
    d_model, n_latents = weights["W_enc"].shape
    sizes = {
        "W_dec": (n_latents, d_model),
        "b_dec": (d_model,),
        **dict.fromkeys(of_latents, (n_latents,)),
    }
    wrong = [name for name, size in sizes.items() if tuple(weights[name].shape) != size]
    if wrong:
        raise EmospaceError(
            f"SAE '{source}'", f"its {', '.join(wrong)} do not fit W_enc of {d_model} x {n_latents}", _GIVEN
        )
    declared = [
        size for size in zip(settings.size, (d_model, n_latents), strict=True) if isinstance(size[0], int)
    ]
    if any(given != actual for given, actual in declared):
        raise EmospaceError(
            f"SAE '{source}'",
            f"its configuration says {settings.size[0]} x {settings.size[1]}, its weights are {d_model} x {n_latents}",
            "Take configuration and weights from the same download.",
        )
