"""The test, opened once per arm, after every choice has been made."""

import time

import numpy as np

from kmpl.datasets.test_set import open_test_set
from kmpl.method.results import Evaluation
from kmpl.method.step_inputs import EvaluateInput
from kmpl.models.embedding import predict
from kmpl.training import metrics


def evaluate(inputs: EvaluateInput) -> Evaluation:
    """Return how well a network does on the protocol's test images, in each view and over all of them."""
    begin = time.perf_counter()
    test = open_test_set(inputs.config)
    predictions = {view: predict(inputs.network, images) for view, images in test.views.items()}
    everything = np.concatenate(list(predictions.values()))
    true = np.tile(test.labels, len(predictions))
    predicted = everything.argmax(axis=1)
    n_classes = everything.shape[1]
    views = {view: metrics.accuracy(p.argmax(axis=1), test.labels) for view, p in predictions.items()}
    return Evaluation(
        accuracy=float(np.mean(list(views.values()))),
        views=views,
        class_accuracy=metrics.class_shares(predicted == true, true, n_classes),
        confusion=metrics.confusion(predicted, true, n_classes),
        calibration_error=metrics.calibration_error(everything, true),
        log_loss=metrics.log_loss(everything, true),
        seconds=time.perf_counter() - begin,
    )
