"""From the folder of a run to its classifier of images."""

from pathlib import Path

from hlieconv.images.model import ImageClassifier
from hlieconv.training import loading

#: Every classifier of images by its name in the configuration of a run.
CLASSIFIERS = {"ImageClassifier": "hlieconv.images.model:ImageClassifier"}


def load(
    path: str | Path, *, model: type[ImageClassifier] | None = None, trust_code: bool = False, device: str = "cpu"
) -> ImageClassifier:
    """The trained classifier of images of a run.

    Args:
        path: the folder.
        model: the class, if it is one of your own.
        trust_code: whether to import what the folder names: a model or a group of somebody's own. Its code then runs.
        device: "cpu", "cuda", ... or "auto".

    Raises:
        ValueError: if the folder holds no finished run of a classifier of images, a file is corrupt, or something
            that it names is not part of the library and not trusted, or cannot be imported.
    """
    return loading.load(path, CLASSIFIERS, (ImageClassifier,), model=model, trust_code=trust_code, device=device)
