"""The public names: this file is what a type checker reads, and what `lazy_loader` imports each name by."""

from .activations import (
    States as States,
    extract as extract,
    extract_words as extract_words,
    stream_words as stream_words,
)
from .alignment import (
    Alignment as Alignment,
    axes as axes,
    language_rsa as language_rsa,
    procrustes as procrustes,
    rsa_affect as rsa_affect,
    rsa_structure as rsa_structure,
)
from .baselines import (
    input_embeddings as input_embeddings,
    ppmi_vectors as ppmi_vectors,
    surface_features as surface_features,
)
from .comparison import compare_runs as compare_runs
from .concepts import (
    ConceptSets as ConceptSets,
    categories as categories,
    check_concepts as check_concepts,
    import_associations as import_associations,
    load_concepts as load_concepts,
)
from .engines import running_on as running_on
from .errors import (
    DiskError as DiskError,
    EmospaceError as EmospaceError,
    InvalidInput as InvalidInput,
    MissingDependency as MissingDependency,
)
from .evaluation import Cell as Cell, evaluate as evaluate, standard_cells as standard_cells
from .evaluation.calibration import calibrate as calibrate
from .features import (
    FeatureDictionary as FeatureDictionary,
    MatchedPool as MatchedPool,
    dense_directions as dense_directions,
    matched_pool as matched_pool,
    neutral_pool as neutral_pool,
    select_features as select_features,
    shared_latents as shared_latents,
)
from .features.transformer import ConceptFeatures as ConceptFeatures
from .generation import (
    Generated as Generated,
    generate as generate,
    perplexity as perplexity,
    stream as stream,
)
from .judges import load_judge as load_judge
from .languages import (
    LanguageFeatures as LanguageFeatures,
    affect_weights as affect_weights,
    category_shifts as category_shifts,
    circumplex_fit as circumplex_fit,
    family_contrast as family_contrast,
    language_tree as language_tree,
    universal_counts as universal_counts,
)
from .lexicon import frequency_table as frequency_table, pool_words as pool_words, word_groups as word_groups
from .models import (
    LanguageModel as LanguageModel,
    list_models as list_models,
    load_model as load_model,
    wrap_model as wrap_model,
)
from .norms import (
    WordNorms as WordNorms,
    check_norms as check_norms,
    list_norms as list_norms,
    load_norms as load_norms,
    norms_from_table as norms_from_table,
)
from .prediction import (
    Predicted as Predicted,
    Score as Score,
    compare_predictions as compare_predictions,
    fit_ratings as fit_ratings,
    predict_ratings as predict_ratings,
    read_ratings as read_ratings,
    transfer as transfer,
)
from .prediction.regressor import RatingRegressor as RatingRegressor
from .reading import (
    Reader as Reader,
    Reading as Reading,
    build_reader as build_reader,
    load_reader as load_reader,
    make_gate as make_gate,
    read_emotions as read_emotions,
)
from .records import Results as Results, to_frame as to_frame
from .report import figures as figures, write_report as write_report
from .report.run import Run as Run, load_run as load_run
from .sae import (
    Corpus as Corpus,
    SparseAutoencoder as SparseAutoencoder,
    bundled_sae as bundled_sae,
    load_sae as load_sae,
    read_texts as read_texts,
    train_sae as train_sae,
)
from .space import EmotionSpace as EmotionSpace, build_space as build_space
from .specs import (
    CalibrationSpec as CalibrationSpec,
    SaeSpec as SaeSpec,
    Sampling as Sampling,
    SteeringSpec as SteeringSpec,
    StudySpec as StudySpec,
)
from .steering import (
    DoseRange as DoseRange,
    SteeringVector as SteeringVector,
    mix as mix,
    plan_steering as plan_steering,
    steer as steer,
)
from .steering.bank import VectorBank as VectorBank, load_vectors as load_vectors
from .steering.directions import latent_vector as latent_vector, read_direction as read_direction
from .steering.export import export_vector as export_vector
from .steering.vectors import (
    Recipe as Recipe,
    category_vectors as category_vectors,
    concept_states as concept_states,
)
from .structure import (
    CategoryStructure as CategoryStructure,
    category_ratings as category_ratings,
    list_structures as list_structures,
    load_structure as load_structure,
    structures_for as structures_for,
    valence_agreement as valence_agreement,
)
from .study import run_study as run_study

__version__: str

# The names of 0.1, which warn.
compare = compare_predictions
export = export_vector
read = read_emotions
