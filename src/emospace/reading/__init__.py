"""Reading: how much of each emotion category, valence and arousal a model finds in a text, token by token.

The scores come from the features of the study and from no labelled text: see `Reader`. `Reader.fit` is the other
form, trained on texts somebody has labelled.
"""

from emospace.reading.building import build_reader, load_reader, read_emotions
from emospace.reading.fitting import FittedReader, Ridge, fit_ridge
from emospace.reading.reader import Reader, ReaderWeights
from emospace.reading.scores import Reading, TokenScores
from emospace.reading.tokens import Tokens, over_tokens, tokenise

__all__ = [
    "FittedReader",
    "Reader",
    "ReaderWeights",
    "Reading",
    "Ridge",
    "TokenScores",
    "Tokens",
    "build_reader",
    "fit_ridge",
    "load_reader",
    "over_tokens",
    "read_emotions",
    "tokenise",
]
