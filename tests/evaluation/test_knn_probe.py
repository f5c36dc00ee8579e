# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from synthetic_features import class_features

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation import KnnProbe, knn_classify, multilabel_knn


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_equals_scikit_learn(metric: str) -> None:
    features = class_features(np.arange(60) % 3, apart=0.5)
    train, test = features.take(np.arange(40)), features.take(np.arange(40, 60))
    peer = KNeighborsClassifier(5, metric=metric, algorithm="brute").fit(train.cls[:, 0], train.label)
    found = KnnProbe(metric=metric).fit(train).predict(test)
    np.testing.assert_allclose(found, peer.predict_proba(test.cls[:, 0]), atol=2e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)


def test_validation_cases_vote_as_well() -> None:
    features = class_features(np.arange(60) % 3, apart=0.5)
    train, validation, test = (features.take(np.arange(k, k + 20)) for k in (0, 20, 40))
    both = KnnProbe().fit(features.take(np.arange(40)))
    fitted = KnnProbe().fit(train, validation)
    np.testing.assert_array_equal(fitted.predict(test), both.predict(test))
    assert fitted.about == {"k": 5, "temperature": None, "metric": "cosine", "pooling": "cls", "voters": 40}


def test_settings_reach_the_vote() -> None:
    features = class_features(np.arange(60) % 2, apart=0.5)
    train, test = features.take(np.arange(40)), features.take(np.arange(40, 60))
    found = KnnProbe(10, 0.07, pooling="patches", num_classes=4).fit(train).predict(test)
    expected = knn_classify(test.patches[:, 0], train.patches[:, 0], train.label, 10, 4, 0.07).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert found.shape == (20, 4)


def test_the_last_block_is_the_deepest_in_whatever_order() -> None:
    features = class_features(np.arange(60) % 3, apart=0.5)
    features = replace(
        features,
        cls=np.concatenate([features.cls, -features.cls[::-1]], axis=1),
        patches=np.concatenate([features.patches] * 2, axis=1),
        blocks=(11, 8),
    )
    train, test = features.take(np.arange(40)), features.take(np.arange(40, 60))
    expected = knn_classify(test.cls[:, 0], train.cls[:, 0], train.label, 5, 3).numpy()
    np.testing.assert_allclose(KnnProbe(5).fit(train).predict(test), expected, atol=2e-6)


def test_several_labels() -> None:
    label = np.random.default_rng(0).integers(2, size=(40, 3))
    features = class_features(label, np.arange(40) // 2)
    train, test = features.take(np.arange(30)), features.take(np.arange(30, 40))
    groups = train.patient.tolist()
    expected = multilabel_knn(test.cls[:, 0], train.cls[:, 0], train.label, 3, groups=groups).numpy()
    np.testing.assert_array_equal(KnnProbe(3).fit(train).predict(test), expected)
    with pytest.raises(ConfigurationError, match="temperature"):
        KnnProbe(3, temperature=0.07).fit(train)


def test_features_without_labels_are_refused() -> None:
    with pytest.raises(InputError, match="no labels"):
        KnnProbe().fit(replace(class_features(np.arange(4) % 2), label=None))
