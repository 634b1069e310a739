"""Word norms: human ratings of valence, arousal and dominance, bundled or brought by the user.

`load_norms` takes a name or a file and returns `WordNorms`. A published layout is one entry of `LAYOUTS`.
"""

from emospace.norms.layouts import LAYOUTS, Layout
from emospace.norms.loading import default_norms, list_norms, load_norms, norms_from_table
from emospace.norms.word_norms import TARGETS, WordNorms, check_norms

__all__ = [
    "LAYOUTS",
    "TARGETS",
    "Layout",
    "WordNorms",
    "check_norms",
    "default_norms",
    "list_norms",
    "load_norms",
    "norms_from_table",
]
