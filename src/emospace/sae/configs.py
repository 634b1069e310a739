"""What the configuration of an autoencoder's file means: read, or refused with the reason, never passed over."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emospace.errors import EmospaceError, InvalidInput, first_line

log = logging.getLogger(__name__)

ARCHITECTURES = ("standard", "topk", "jumprelu", "gated")
NORMALISATIONS = ("none", "layer_norm", "constant_norm_rescale")
UNSCALED = "expected_average_only_in"
"""SAELens' name for training on states scaled by a factor that belongs into the weights afterwards."""

_RENAMED = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
    "hf_hook_point_in": "hf_hook_name",
    "hf_hook_point_out": "hf_hook_name_out",
}
"""Names of older SAELens versions and of Gemma Scope 2 -> today's."""

_READ = """
architecture normalize_activations k activation_fn activation_fn_kwargs apply_b_dec_to_input
rescale_acts_by_decoder_norm finetuning_scaling_factor model_from_pretrained_kwargs hook_name hf_hook_name
hook_name_out hf_hook_name_out hook_head_index hook_head_index_out reshape_activations d_in d_out d_sae width type
affine_connection model_name sae_lens_version
"""
_OF_TRAINING = """
act_store_device adam_beta1 adam_beta2 autocast autocast_lm aux_loss_coefficient b_dec_init_method
begin_batch_token begin_sequence_token buffer_size_gb cached_activations_path checkpoint_path compile_llm
compile_sae context_size d_head dataset_path dataset_trust_remote_code dead_feature_threshold dead_feature_window
decoder_heuristic_init decoder_heuristic_init_norm decoder_init_norm decoder_orthogonal_init device
disable_concat_sequences dtype eval_batch_size_prompts eval_every_n_wandb_logs exclude_special_tokens
expansion_factor feature_sampling_method feature_sampling_window finetuning_method finetuning_tokens
from_pretrained_path hook_eval hook_layer hook_point_layer init_encoder_as_decoder_transpose is_dataset_tokenized
jumprelu_bandwidth jumprelu_init_threshold l0 l0_coefficient l1_coefficient l1_warm_up_steps lambda
llm_compilation_mode log_to_wandb lp_norm lr lr_decay_steps lr_end lr_scheduler_name lr_warm_up_steps
model_class_name model_kwargs mse_loss_normalization n_batches_for_norm_estimate n_batches_in_buffer n_checkpoints
n_eval_batches n_restart_cycles neuronpedia_id noise_scale normalize_sae_decoder prepend_bos resume run_name
sae_compilation_mode sae_lens_training_version scale_sparsity_penalty_by_decoder_norm seed seqpos_slice
sequence_separator_token store_batch_size store_batch_size_prompts streaming tokens_per_buffer total_training_steps
total_training_tokens train_batch_size train_batch_size_tokens training_tokens use_cached_activations
use_ghost_grads use_sparse_activations verbose wandb_entity wandb_id wandb_log_frequency wandb_project
"""
"""How an autoencoder was trained or is described; nothing of it changes what is computed from a state."""

_SAME_STATES = """
attn_implementation center_unembed default_padding_side default_prepend_bos device device_map dtype
first_n_layers fold_ln fold_value_biases low_cpu_mem_usage n_ctx n_devices refactor_factored_attn_matrices token
torch_dtype trust_remote_code
"""
"""Ways to load a model for TransformerLens that leave the residual stream as it is."""

_REASONS = {
    "batchtopk": "a BatchTopK training checkpoint has no threshold yet",
    "matryoshka_batchtopk": "a Matryoshka BatchTopK training checkpoint has no threshold yet",
    "abstopk": "its latents are negative as well",
    "temporal": "its latents depend on the tokens before",
    "matching_pursuit": "it encodes in many steps",
}
_CENTRED_BY_DEFAULT = ("gpt2", "pythia", "gelu-", "solu-", "attn-only")
"""Models that TransformerLens centres by default; early SAELens files do not record it."""


@dataclass(frozen=True)
class Settings:
    """What a configuration says of the computation; fields as in `SparseAutoencoder`."""

    architecture: str
    layer: int
    k: int | None
    normalisation: str
    centred: bool
    subtract_decoder_bias: bool
    rescale_by_decoder_norm: bool
    finetuned: bool
    size: tuple[int | None, int | None]


def read_settings(config: Mapping[str, Any], source: str) -> Settings:
    """Return what a configuration in SAELens' or Gemma Scope's format means.

    Parameters
    ----------
    config
        As stored: ``cfg.json`` of any SAELens version, or ``config.json`` of Gemma Scope 2.
    source
        The autoencoder as the user named it, for messages.

    Raises
    ------
    EmospaceError
        If it asks for what is not computed here, or reads another place than the residual stream.
    """
    try:
        return _settings(config, source)
    except EmospaceError:
        raise
    # A value of another type can fail anywhere.
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise InvalidInput(
            f"SAE '{source}'",
            f"a value of its configuration is of another type ({first_line(error)})",
            "Take the configuration that came with the weights.",
        ) from error


def _settings(config: Mapping[str, Any], source: str) -> Settings:
    flat = {key: value for key, value in config.items() if key != "metadata"} | dict(
        config.get("metadata") or {}
    )
    for old, new in _RENAMED.items():
        if old in flat:
            flat.setdefault(new, flat.pop(old))
    architecture = str(flat.get("architecture") or "standard").replace("jump_relu", "jumprelu")
    normalisation = flat.get("normalize_activations") or "none"
    if normalisation is True:
        normalisation = UNSCALED
    k = flat.get("k")
    # SAELens before version 6 wrote top-k as an activation function of the standard architecture.
    if flat.get("activation_fn") == "topk":
        architecture, k = "topk", (flat.get("activation_fn_kwargs") or {}).get("k", k)
    reason = _refusal(flat, architecture, normalisation)
    if reason:
        raise EmospaceError(
            f"SAE '{source}'",
            reason,
            f"Use one of the residual stream, of architecture {', '.join(ARCHITECTURES)} "
            "(BatchTopK and Matryoshka are saved for inference as jumprelu).",
        )
    _warn(flat, normalisation, source)
    return Settings(
        architecture=architecture,
        layer=layer_of(flat.get("hook_name") or flat.get("hf_hook_name") or "", source),
        k=int(k) if k and architecture == "topk" else None,
        normalisation="none" if normalisation == UNSCALED else normalisation,
        centred=bool((flat.get("model_from_pretrained_kwargs") or {}).get("center_writing_weights", False)),
        subtract_decoder_bias=bool(flat.get("apply_b_dec_to_input", True)),
        rescale_by_decoder_norm=bool(flat.get("rescale_acts_by_decoder_norm", False)),
        finetuned=bool(flat.get("finetuning_scaling_factor", False)),
        size=(flat.get("d_in"), flat.get("d_sae") or flat.get("width")),
    )


def gemma_scope_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a Gemma Scope folder that has none of its own, from the names of its folders."""
    parts = folder.absolute().parts
    layer = next((match for part in reversed(parts) if (match := re.match(r"layer_(\d+)", part))), None)
    if any(
        re.match(
            r"(attn_out|mlp_out|transcoder|clt|crosscoder)|.*gemma-scope.*-(att|mlp|transcoders)\b", part
        )
        for part in parts
    ):
        raise EmospaceError(
            f"SAE '{folder}'",
            "by its folders it reads attention or MLP outputs, not the residual stream",
            "Use one of Gemma Scope's residual streams (res).",
        )
    if layer is None:
        raise EmospaceError(
            f"SAE '{folder}'",
            "it has no cfg.json, and no folder names its layer",
            "Keep the folders as downloaded (layer_20/width_16k/average_l0_71/params.npz), or write a config.json: "
            '{"architecture": "jump_relu", "hf_hook_point_in": "model.layers.20.output"}.',
        )
    if not any(re.match(r"resid_post|.*gemma-scope.*-res\b", part) for part in parts):
        log.warning(
            "SAE %s: its file does not say what it reads; taken as the residual stream after block %s",
            folder,
            layer[1],
        )
    return {
        "architecture": "jump_relu",
        "hf_hook_point_in": f"model.layers.{layer[1]}.output",
        "apply_b_dec_to_input": False,
    }


def layer_of(hook: str, source: str) -> int:
    """Return our layer for the name of a place in SAELens, TransformerLens or `transformers`."""
    lens = re.fullmatch(r"blocks\.(\d+)\.hook_(?:resid_(pre|post)|(in|out))", hook)
    if lens:
        return int(lens[1]) + ((lens[2] or lens[3]) in ("post", "out"))
    module = re.fullmatch(r"(?:\w+\.)*(?:layers|h)\.(\d+)(?:\.(input|output))?", hook)
    if module:
        return int(module[1]) + (module[2] != "input")
    raise EmospaceError(
        f"SAE '{source}'",
        f"it reads '{hook}', which is not the residual stream between blocks",
        "Use an SAE of hook_resid_pre or hook_resid_post.",
    )


def _refusal(flat: Mapping[str, Any], architecture: str, normalisation: Any) -> str | None:
    """Return why a configuration cannot be honoured, or None."""
    kind, activation = flat.get("type") or "sae", flat.get("activation_fn") or "relu"
    writes = (flat.get("hook_name_out"), flat.get("hf_hook_name_out"))
    reads = (flat.get("hook_name"), flat.get("hf_hook_name"))
    if (
        "coder" in architecture
        or kind != "sae"
        or flat.get("affine_connection")
        or any(out and out != into for out, into in zip(writes, reads, strict=True))
        or flat.get("d_out") not in (None, flat.get("d_in"))
    ):
        name = architecture if "coder" in architecture else kind if kind != "sae" else "transcoder"
        return f"it is a {name}: it reads one place and writes another"
    if architecture not in ARCHITECTURES:
        why = f": {_REASONS[architecture]}" if architecture in _REASONS else ""
        return f"architecture '{architecture}' is not supported{why}"
    if normalisation not in {*NORMALISATIONS, UNSCALED}:
        return f"normalize_activations '{normalisation}' is not supported"
    if activation not in ("relu", "topk"):
        return f"activation_fn '{activation}' is not supported"
    others = set(flat.get("activation_fn_kwargs") or {}) - {"k", "use_sparse_activations"}
    if others:
        return f"activation_fn_kwargs {', '.join(sorted(others))} are not supported"
    if flat.get("reshape_activations") not in (None, "none"):
        return (
            f"reshape_activations '{flat['reshape_activations']}' is not supported: it reads attention heads"
        )
    if flat.get("hook_head_index") is not None:
        return f"hook_head_index {flat['hook_head_index']}: it reads one attention head"
    if flat.get("rescale_acts_by_decoder_norm") and architecture != "topk":
        return f"rescale_acts_by_decoder_norm is not defined for architecture '{architecture}'"
    return None


def _warn(flat: Mapping[str, Any], normalisation: Any, source: str) -> None:
    """Log what a user should know of a configuration that is honoured."""
    if normalisation == UNSCALED:
        log.warning(
            "SAE %s was trained on states scaled by their average norm, and the scale is not in the file; "
            "like SAELens we encode the states as they are",
            source,
        )
    loading = flat.get("model_from_pretrained_kwargs") or {}
    unknown = sorted(set(flat) - {*_READ.split(), *_OF_TRAINING.split()})
    unknown += sorted(
        f"model_from_pretrained_kwargs.{key}"
        for key, value in loading.items()
        if key not in {*_SAME_STATES.split(), "center_writing_weights"} and value is not None
    )
    if unknown:
        log.warning(
            "SAE %s: its configuration says what is not known here (%s); if it changes what is computed, "
            "the codes are not the autoencoder's",
            source,
            ", ".join(unknown),
        )
    unsaid = not flat.get("sae_lens_version") and "model_from_pretrained_kwargs" not in flat
    if unsaid and str(flat.get("model_name")).startswith(_CENTRED_BY_DEFAULT):
        log.warning(
            "SAE %s: its file is of a SAELens that did not say whether states were centred; like SAELens we take them "
            "as they are. Where they were (gpt2-small-res-jb), add "
            '"model_from_pretrained_kwargs": {"center_writing_weights": true} to its configuration',
            source,
        )
