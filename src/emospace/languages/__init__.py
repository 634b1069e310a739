"""Several languages' emotion spaces in one model, against one another.

What one language brings is `LanguageFeatures`. Two languages: their planes turned onto one another (`pairs`) and the
categories that sit differently (`shifts`). Many: features they have in common (`universal`), the weight of valence and
arousal in each (`weights`), and which of them are alike (`tree`). RSA of two languages is `alignment.language_rsa`. A
figure that cannot be given has no value and a reason.
"""

from emospace.languages.language import LanguageFeatures
from emospace.languages.pairs import CommonPlane, circumplex_fit, common_plane
from emospace.languages.shifts import category_shifts
from emospace.languages.tree import LanguageTree, Merge, family_contrast, language_tree
from emospace.languages.universal import universal_counts
from emospace.languages.weights import Weight, affect_weights

__all__ = [
    "CommonPlane",
    "LanguageFeatures",
    "LanguageTree",
    "Merge",
    "Weight",
    "affect_weights",
    "category_shifts",
    "circumplex_fit",
    "common_plane",
    "family_contrast",
    "language_tree",
    "universal_counts",
]
