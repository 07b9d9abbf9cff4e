"""Where the records of a training go beside the folder of the run: tables, TensorBoard."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from systems.files import write_atomically


def write_csv(records: Sequence[dict[str, float | int]], path: str | Path) -> None:
    """Write records as a table with a header; a number that a record lacks is an empty cell.

    Args:
        records: of a training, such as ``fit(...).history``.
        path: the file, which is replaced.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "metrics.csv"
        >>> write_csv([{"step": 10, "loss": 0.5}, {"step": 20, "loss": 0.25, "validation": 0.3}], path)
        >>> print(path.read_text().strip())
        step,loss,validation
        10,0.5,
        20,0.25,0.3
    """
    text = io.StringIO()
    names = list(dict.fromkeys(name for record in records for name in record))
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows(records)
    write_atomically(Path(path), text.getvalue().encode())


class TensorBoard:
    """Sends every record to TensorBoard: ``fit(..., on_record=TensorBoard("logs"))``.

    Args:
        folder: what ``tensorboard --logdir`` reads.

    Raises:
        ValueError: if the package tensorboard is missing, naming the extra that brings it.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise ValueError(
                f"TensorBoard: expected the package tensorboard: pip install 'hlieconv[tensorboard]' ({error})"
            ) from error
        self.writer: Any = SummaryWriter(str(folder))

    def __call__(self, record: dict[str, float | int]) -> None:
        for name, value in record.items():
            if name != "step":
                self.writer.add_scalar(name, value, record["step"])
        self.writer.flush()
