"""A Llama-like tokenizer of the mix: BPE over runs of one script, digits apart, bytes for what it has not seen."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN, BOS, EOS = "<unk>", "<s>", "</s>"
SPECIAL = (UNKNOWN, BOS, EOS)
BOS_ID, EOS_ID = 1, 2
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
SPACE = "▁"
# The space goes with the word after it, but not with a Han or kana one: such a word is the same token everywhere.
_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}ー々"
RUNS = (
    rf"[{_SPACELESS}]+"
    rf"|▁?[\p{{L}}\p{{M}}&&[^{_SPACELESS}]]+"
    r"|\p{N}|▁?[^\s▁\p{L}\p{M}\p{N}]{1,3}|▁|\s"
)


def train_tokenizer(texts: Iterable[str], n_vocab: int) -> Tokenizer:
    """Return a tokenizer trained on texts; it gives back any text in NFC, byte by byte where it must.

    Parameters
    ----------
    texts
        A sample balanced as the mix is; its order does not matter.
    n_vocab
        Size of the vocabulary with the three special tokens and the 256 bytes.
    """
    from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
    from tokenizers.models import BPE
    from tokenizers.trainers import BpeTrainer

    normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(" ", SPACE), normalizers.Prepend(SPACE)]
    )
    split = pre_tokenizers.Split(Regex(RUNS), "isolated")
    learner = Tokenizer(BPE())
    learner.normalizer, learner.pre_tokenizer = normalizer, split
    learner.train_from_iterator(
        texts,
        BpeTrainer(
            vocab_size=n_vocab,
            special_tokens=[*SPECIAL, *BYTES],
            limit_alphabet=6000,
            max_token_length=16,
            show_progress=False,
        ),
    )
    # The trainer makes bytes special tokens, which a text could then spell: they are plain entries here.
    learned = json.loads(learner.to_str())["model"]
    merges = [tuple(merge) for merge in learned["merges"]]
    tokenizer = Tokenizer(BPE(learned["vocab"], merges, unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, split
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, BOS_ID)]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, context: int) -> None:
    """Write a tokenizer as `transformers` reads it."""
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=EOS,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)
