"""Images as points with values: LieConv on pictures (the paper's Table 1).

data.py       RotMNIST, MNIST's files, scikit-learn's digits; rotation of images
download.py   a file from elsewhere: resumed, checked, whole or not there
model.py      ImageClassifier: pixels as points; one geometry for all images of a size
loading.py    load: the model of a run
task.py       fit_images, evaluate_images, and how equivariant a trained model is
settings.py   how it trains
plots.py      confusion, and accuracy against the angle of a rotation

Names are imported on first use, so that no command imports torch before it must.
"""

from hlieconv.lazy import lazy

__getattr__, __dir__ = lazy(
    __name__,
    (
        "hlieconv.images.data:ImageData",
        "hlieconv.images.data:digits",
        "hlieconv.images.data:rot_mnist",
        "hlieconv.images.data:rotate",
        "hlieconv.images.loading:load",
        "hlieconv.images.model:ImageClassifier",
        "hlieconv.images.plots:plot_confusion",
        "hlieconv.images.plots:plot_rotation",
        "hlieconv.images.task:evaluate_images",
        "hlieconv.images.task:fit_images",
        "hlieconv.images.task:rotation_errors",
    ),
)
