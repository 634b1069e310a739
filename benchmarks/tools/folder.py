"""What the adapters share: a model folder loaded by `transformers`, and greedy generation with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def load_folder(folder: str, dtype: str, device: str) -> tuple[Any, Any]:
    """Return model and tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).to(device).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def greedy(model: Any, tokenizer: Any) -> Callable[..., Any]:
    """Return ``generate(texts, n_tokens, **options)`` for equally long texts; `model` has a ``generate``."""
    import torch

    def generate(texts: Sequence[str], n_tokens: int, **options: Any) -> Any:
        ids = tokenizer(list(texts), return_tensors="pt", add_special_tokens=False)["input_ids"].to(
            model.device
        )
        with torch.inference_mode():
            tokens = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=n_tokens,
                min_new_tokens=n_tokens,
                do_sample=False,
                pad_token_id=0,
                **options,
            )
        return tokens.cpu().numpy()

    return generate


@contextmanager
def plain(model: Any, tokenizer: Any) -> Iterator[Callable[..., Any]]:
    """Give greedy generation of a model as it is."""
    yield greedy(model, tokenizer)
