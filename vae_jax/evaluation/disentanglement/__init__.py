"""Disentanglement scores for images with known factors, with the definitions and settings of disentanglement_lib.

disentanglement_lib is the code of Locatello et al. 2019 (arXiv:1811.12359).
"""

from vae_jax.evaluation.disentanglement._interventions import beta_vae_score as beta_vae_score
from vae_jax.evaluation.disentanglement._interventions import factor_vae_score as factor_vae_score
from vae_jax.evaluation.disentanglement._mutual_information import modularity as modularity
from vae_jax.evaluation.disentanglement._mutual_information import mutual_information_gap as mutual_information_gap
from vae_jax.evaluation.disentanglement._mutual_information import (
    mutual_information_matrix as mutual_information_matrix,
)
from vae_jax.evaluation.disentanglement._predictors import DCI as DCI
from vae_jax.evaluation.disentanglement._predictors import dci as dci
from vae_jax.evaluation.disentanglement._predictors import explicitness as explicitness
from vae_jax.evaluation.disentanglement._predictors import (
    separated_attribute_predictability as separated_attribute_predictability,
)
from vae_jax.evaluation.disentanglement._robustness import interventional_robustness as interventional_robustness
from vae_jax.evaluation.disentanglement._sampling import Labeled as Labeled
from vae_jax.evaluation.disentanglement._sampling import draw as draw
from vae_jax.evaluation.disentanglement._scores import measure_disentanglement as measure_disentanglement
from vae_jax.evaluation.disentanglement._scores import measure_references as measure_references
from vae_jax.evaluation.disentanglement._scores import reference_tables as reference_tables
from vae_jax.evaluation.disentanglement._table import CodeTable as CodeTable
from vae_jax.evaluation.disentanglement._table import code_table as code_table
from vae_jax.evaluation.disentanglement._table import encode_table as encode_table
from vae_jax.evaluation.disentanglement._unsupervised import gaussian_total_correlation as gaussian_total_correlation
from vae_jax.evaluation.disentanglement._unsupervised import spearman_matrix as spearman_matrix
from vae_jax.evaluation.disentanglement._unsupervised import (
    unsupervised_disentanglement_ranking as unsupervised_disentanglement_ranking,
)
