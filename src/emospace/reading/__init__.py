"""Reading: how much of each emotion category, valence and arousal a model finds in a text, token by token.

The scores come from the features of the study and from no labelled text: see `Reader`. `Reader.fit` is the other
form, trained on texts somebody has labelled.
"""

from emospace.reading.building import (
    build_reader as build_reader,
    load_reader as load_reader,
    read_emotions as read_emotions,
)
from emospace.reading.fitting import FittedReader as FittedReader, fit_ridge as fit_ridge
from emospace.reading.gates import make_gate as make_gate
from emospace.reading.reader import Reader as Reader, ReaderWeights as ReaderWeights
from emospace.reading.scores import Reading as Reading, TokenScores as TokenScores
from emospace.reading.tokens import over_tokens as over_tokens, tokenise as tokenise
