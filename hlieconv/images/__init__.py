"""Images as points with values: LieConv on pictures (the paper's Table 1).

data.py       RotMNIST, MNIST's files, scikit-learn's digits; rotation of images
download.py   a file from elsewhere: resumed, checked, whole or not there
augmentation.py   training images turned and distorted
model.py      ImageClassifier: pixels as points; one geometry for all images of a size
loading.py    load: the model of a run
task.py       fit_images, evaluate_images, and how equivariant a trained model is
settings.py   how it trains
plots.py      confusion, and accuracy against the angle of a rotation

Names are imported on first use, so that no command imports torch before it must.
"""

from systems.door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
