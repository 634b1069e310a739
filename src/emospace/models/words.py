"""Words as a tokenizer has them inside a sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]"
)


def word_tokens(tokenizer: Any, words: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each word as it stands inside a sentence, without special tokens.

    A word gets a space before it where the tokenizer marks word starts with one and does not add the mark
    itself; scripts written without spaces get none.
    """
    alone = tokenizer.convert_ids_to_tokens(tokenizer("a", add_special_tokens=False)["input_ids"])
    marked = bool(alone) and str(alone[0]).startswith(("▁", "Ġ"))
    texts = [word if marked or _UNSPACED.search(word) else f" {word}" for word in words]
    return [list(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]] if texts else []
