"""Scores from predictors of factors, fitted to codes by scikit-learn: DCI, SAP and explicitness."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from vae_jax.evaluation.disentanglement._checks import checked, unfinished_fits_allowed
from vae_jax.evaluation.disentanglement._sampling import Labeled


class DCI(NamedTuple):
    """Disentanglement, completeness and informativeness, each 0 to 1."""

    disentanglement: float  # 1 if each latent is important for a single factor
    completeness: float  # 1 if each factor has a single important latent
    informativeness: float  # accuracy of the predictors on the test images


def dci(train: Labeled, test: Labeled, num_jobs: int | None = None) -> DCI:
    """Disentanglement, completeness and informativeness from the importances of gradient-boosted trees.

    Let R_dk be the importance of latent d for factor k. Disentanglement is the mean over d of 1 minus the entropy of
    R_d. in units of log K, weighted by sum_k R_dk; completeness is the mean over k of 1 minus the entropy of R_.k in
    units of log D, weighted by sum_d R_dk.

    Args:
      train: images that scikit-learn's GradientBoostingClassifier is fitted to, with its defaults, once per factor;
        disentanglement_lib uses 10,000, which takes minutes on one core.
      test: images that the accuracy is measured on; disentanglement_lib uses 5,000.
      num_jobs: number of factors fitted at once, as in joblib; None: one after the other.

    Raises:
      ValueError: if codes are not finite, or no factor varies.

    Source: Eastwood & Williams 2018 [eastwood2018framework]; trees as in Locatello et al. 2019 (arXiv:1811.12359).
    """
    from joblib import Parallel, delayed

    train, test = _pair("dci", train, test)
    fit = delayed(_boosted)
    # The slowest fits first, so that all processes finish at about the same time.
    order = np.argsort([-len(np.unique(column)) for column in train.factors.T], kind="stable")
    fitted = Parallel(n_jobs=num_jobs)(
        fit(train.codes, train.factors[:, k], test.codes, test.factors[:, k]) for k in order
    )
    by_factor = dict(zip(order.tolist(), fitted, strict=True))
    importances = np.stack([by_factor[k][0] for k in range(len(order))], axis=1)
    accuracy = float(np.mean([by_factor[k][1] for k in range(len(order))]))
    return DCI(_concentration(importances), _concentration(importances.T), accuracy)


def separated_attribute_predictability(train: Labeled, test: Labeled) -> float:
    """SAP = mean over factors of the difference of the two best accuracies of linear classifiers from a single latent.

    If there is only one latent, the second accuracy is 0.

    Args:
      train: images that scikit-learn's LinearSVC(C=0.01, class_weight="balanced") is fitted to; disentanglement_lib
        uses 10,000.
      test: images that the accuracy is measured on; disentanglement_lib uses 5,000.

    Raises:
      ValueError: if codes are not finite, or no factor varies.

    Source: Kumar, Sattigeri & Balakrishnan 2018 (arXiv:1711.00848), section 3; classifier as in Locatello et al. 2019
    (arXiv:1811.12359).
    """
    from sklearn.svm import LinearSVC

    train, test = _pair("sap", train, test)

    def accuracy(latent: int, factor: int) -> float:
        # The primal problem: scikit-learn's default for few features, the dual, may stop before it has converged.
        classifier = LinearSVC(C=0.01, class_weight="balanced", dual=False)
        classifier.fit(train.codes[:, [latent]], train.factors[:, factor])
        return float(classifier.score(test.codes[:, [latent]], test.factors[:, factor]))

    latents, factors = train.codes.shape[1], train.factors.shape[1]
    scores = np.sort([[accuracy(d, k) for k in range(factors)] for d in range(latents)], axis=0)
    return float(np.mean(scores[-1] - (scores[-2] if latents > 1 else 0.0)))


def explicitness(train: Labeled, test: Labeled) -> float:
    """Explicitness = mean over factors of the area under the ROC curve of each value against the rest: 0.5 is chance.

    Args:
      train: images that scikit-learn's logistic regression is fitted to.
      test: images that the area is measured on; values that do not occur in both are left out.

    Raises:
      ValueError: if codes are not finite, or no factor varies.

    Source: Ridgeway & Mozer 2018 (arXiv:1802.05312), section 3.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    train, test = _pair("explicitness", train, test)
    # Codes of unit variance make the penalty on weights, and the speed of the fit, independent of a latent's scale.
    mean, deviation = train.codes.mean(axis=0), np.maximum(train.codes.std(axis=0), 1e-12)
    train, test = (Labeled((part.codes - mean) / deviation, part.factors) for part in (train, test))
    areas = []
    for values, test_values in zip(train.factors.T, test.factors.T, strict=True):
        with unfinished_fits_allowed():
            classifier = LogisticRegression().fit(train.codes, values)
        probabilities = classifier.predict_proba(test.codes)
        classes = classifier.classes_ if probabilities.shape[1] > 1 else ()
        by_class = {c: probabilities[:, i] for i, c in enumerate(classes)}
        present = [c for c in by_class if 0 < np.sum(test_values == c) < len(test_values)]
        areas.append(np.mean([roc_auc_score(test_values == c, by_class[c]) for c in present]) if present else 0.5)
    return float(np.mean(areas))


def _pair(metric: str, train: Labeled, test: Labeled) -> tuple[Labeled, Labeled]:
    """Checks training and test images; returns both with the factors that vary among the training images."""
    checked(f"{metric} (test images)", test.codes, test.factors, least=2)
    codes, factors = checked(f"{metric} (training images)", train.codes, train.factors, least=2)
    varies = train.factors.min(axis=0) < train.factors.max(axis=0)
    return Labeled(codes.astype(np.float64), factors), Labeled(
        np.asarray(test.codes, np.float64), np.asarray(test.factors)[:, varies]
    )


def _boosted(
    codes: np.ndarray, values: np.ndarray, test_codes: np.ndarray, test_values: np.ndarray
) -> tuple[np.ndarray, float]:
    from sklearn.ensemble import GradientBoostingClassifier

    classifier = GradientBoostingClassifier(random_state=0).fit(codes, values)
    return np.abs(classifier.feature_importances_), float(classifier.score(test_codes, test_values))


def _concentration(importances: ArrayLike) -> float:
    """Mean over rows, weighted by their sums, of 1 - entropy / largest entropy; 0 if all importances are 0."""
    importances = np.asarray(importances, np.float64)
    total = importances.sum()
    if total == 0:
        return 0.0
    shares = importances / np.maximum(importances.sum(axis=1, keepdims=True), 1e-300)
    entropy = -np.sum(np.where(shares > 0, shares * np.log(np.where(shares > 0, shares, 1.0)), 0.0), axis=1)
    largest = np.log(importances.shape[1]) if importances.shape[1] > 1 else 1.0
    return float(np.sum(importances.sum(axis=1) / total * (1 - entropy / largest)))
