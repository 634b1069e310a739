"""Word norms: human ratings of valence, arousal and dominance, bundled or brought by the user.

`load_norms` takes a name or a file and returns `WordNorms`. What the columns of a file are, its headers say
(`data/norms/headers.toml`); what they do not say of a published file is one entry of ``data/norms/layouts.toml``.
"""

from emospace.norms.cards import CARD_KEYS, OpenQuestion, card_path, card_text, read_card, write_card
from emospace.norms.direction import ANCHORS, Direction, anchor_words, directions
from emospace.norms.languages import Anchors
from emospace.norms.layouts import LAYOUTS, Layout
from emospace.norms.loading import (
    default_norms,
    list_norms,
    load_norms,
    norms_for,
    norms_from_file,
    norms_from_table,
)
from emospace.norms.word_norms import EMOTIONS, TARGETS, WordNorms, check_norms

__all__ = [
    "ANCHORS",
    "CARD_KEYS",
    "EMOTIONS",
    "LAYOUTS",
    "TARGETS",
    "Anchors",
    "Direction",
    "Layout",
    "OpenQuestion",
    "WordNorms",
    "anchor_words",
    "card_path",
    "card_text",
    "check_norms",
    "default_norms",
    "directions",
    "list_norms",
    "load_norms",
    "norms_for",
    "norms_from_file",
    "norms_from_table",
    "read_card",
    "write_card",
]
