"""emospace: does a language model represent emotion as people do?

``import emospace as es`` gives the names below; each is imported when it is first used, so the import itself
loads none of the heavy libraries.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emospace.activations import States, extract, extract_words, stream_words
    from emospace.alignment import Alignment, axes, language_rsa, procrustes, rsa_affect, rsa_structure
    from emospace.baselines import input_embeddings, ppmi_vectors, surface_features
    from emospace.comparison import compare_runs
    from emospace.concepts import ConceptSets, categories, check_concepts, import_associations, load_concepts
    from emospace.errors import EmospaceError
    from emospace.evaluation import evaluate
    from emospace.evaluation.calibration import calibrate
    from emospace.features import (
        FeatureDictionary,
        dense_directions,
        matched_pool,
        neutral_pool,
        select_features,
        shared_latents,
    )
    from emospace.generation import generate
    from emospace.judges import load_judge
    from emospace.languages import (
        LanguageFeatures,
        affect_weights,
        category_shifts,
        circumplex_fit,
        family_contrast,
        language_tree,
        universal_counts,
    )
    from emospace.lexicon import frequency_table, pool_words, word_groups
    from emospace.models import LanguageModel, list_models, load_model, wrap_model
    from emospace.norms import WordNorms, check_norms, list_norms, load_norms, norms_from_table
    from emospace.prediction import Predicted, compare, fit_ratings, predict_ratings, read_ratings, transfer
    from emospace.reading import Reader, Reading, load_reader, read
    from emospace.records import Results
    from emospace.report import figures, write_report
    from emospace.sae import Corpus, SparseAutoencoder, bundled_sae, load_sae, read_texts, train_sae
    from emospace.space import EmotionSpace, build_space
    from emospace.specs import CalibrationSpec, SaeSpec, SteeringSpec, StudySpec
    from emospace.steering import SteeringVector, steer
    from emospace.steering.bank import VectorBank, load_vectors
    from emospace.steering.export import export
    from emospace.structure import (
        CategoryStructure,
        category_ratings,
        list_structures,
        load_structure,
        structures_for,
        valence_agreement,
    )
    from emospace.study import run_study

__all__ = [
    "Alignment",
    "CalibrationSpec",
    "CategoryStructure",
    "ConceptSets",
    "Corpus",
    "EmospaceError",
    "EmotionSpace",
    "FeatureDictionary",
    "LanguageFeatures",
    "LanguageModel",
    "Predicted",
    "Reader",
    "Reading",
    "Results",
    "SaeSpec",
    "SparseAutoencoder",
    "States",
    "SteeringSpec",
    "SteeringVector",
    "StudySpec",
    "VectorBank",
    "WordNorms",
    "affect_weights",
    "axes",
    "build_space",
    "bundled_sae",
    "calibrate",
    "categories",
    "category_ratings",
    "category_shifts",
    "check_concepts",
    "check_norms",
    "circumplex_fit",
    "compare",
    "compare_runs",
    "dense_directions",
    "evaluate",
    "export",
    "extract",
    "extract_words",
    "family_contrast",
    "figures",
    "fit_ratings",
    "frequency_table",
    "generate",
    "import_associations",
    "input_embeddings",
    "language_rsa",
    "language_tree",
    "list_models",
    "list_norms",
    "list_structures",
    "load_concepts",
    "load_judge",
    "load_model",
    "load_norms",
    "load_reader",
    "load_sae",
    "load_structure",
    "load_vectors",
    "matched_pool",
    "neutral_pool",
    "norms_from_table",
    "pool_words",
    "ppmi_vectors",
    "predict_ratings",
    "procrustes",
    "read",
    "read_ratings",
    "read_texts",
    "rsa_affect",
    "rsa_structure",
    "run_study",
    "select_features",
    "shared_latents",
    "steer",
    "stream_words",
    "structures_for",
    "surface_features",
    "train_sae",
    "transfer",
    "universal_counts",
    "valence_agreement",
    "word_groups",
    "wrap_model",
    "write_report",
]

_ROOMS = {
    "activations": ("States", "extract", "extract_words", "stream_words"),
    "alignment": ("Alignment", "axes", "language_rsa", "procrustes", "rsa_affect", "rsa_structure"),
    "baselines": ("input_embeddings", "ppmi_vectors", "surface_features"),
    "concepts": ("ConceptSets", "categories", "check_concepts", "import_associations", "load_concepts"),
    "errors": ("EmospaceError",),
    "comparison": ("compare_runs",),
    "features": (
        "FeatureDictionary",
        "dense_directions",
        "matched_pool",
        "neutral_pool",
        "select_features",
        "shared_latents",
    ),
    "languages": (
        "LanguageFeatures",
        "affect_weights",
        "category_shifts",
        "circumplex_fit",
        "family_contrast",
        "language_tree",
        "universal_counts",
    ),
    "lexicon": ("frequency_table", "pool_words", "word_groups"),
    "models": ("LanguageModel", "list_models", "load_model", "wrap_model"),
    "norms": ("WordNorms", "check_norms", "list_norms", "load_norms", "norms_from_table"),
    "prediction": ("Predicted", "compare", "fit_ratings", "predict_ratings", "read_ratings", "transfer"),
    "records": ("Results",),
    "report": ("figures", "write_report"),
    "sae": ("Corpus", "SparseAutoencoder", "bundled_sae", "load_sae", "read_texts", "train_sae"),
    "space": ("EmotionSpace", "build_space"),
    "structure": (
        "CategoryStructure",
        "category_ratings",
        "list_structures",
        "load_structure",
        "structures_for",
        "valence_agreement",
    ),
    "evaluation": ("evaluate",),
    "evaluation.calibration": ("calibrate",),
    "generation": ("generate",),
    "judges": ("load_judge",),
    "reading": ("Reader", "Reading", "load_reader", "read"),
    "steering": ("SteeringVector", "steer"),
    "steering.bank": ("VectorBank", "load_vectors"),
    "steering.export": ("export",),
    "specs": ("CalibrationSpec", "SaeSpec", "SteeringSpec", "StudySpec"),
    "study": ("run_study",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("emospace")
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'emospace' has no attribute '{name}'")
    value = getattr(import_module(f"emospace.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
