"""Settings as dataclasses: each choice with its help text and its range, from which the command line is made."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, TypeVar

from systems.checks import check, check_choice
from systems.door import plain

Choices = TypeVar("Choices", bound="AbstractSettings")


class Range(NamedTuple):
    """The numbers that a setting may be.

    Example:
        >>> str(Range(0.0, open_low=True)), 0.0 in Range(0.0, open_low=True)
        ('a positive number', False)
    """

    low: float
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, int | float) or not math.isfinite(value):
            return False
        above = self.low < value if self.open_low else self.low <= value
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        if self.open_low and (self.low, self.high) == (0, math.inf):
            return "a positive number"
        low = f"above {self.low}" if self.open_low else f"from {self.low}"
        high = f" and below {self.high}" if self.open_high else f" to {self.high}"
        return f"a number {low}" + ("" if self.high == math.inf else high)


POSITIVE = Range(0, open_low=True)
FRACTION = Range(0, 1, open_high=True)

#: To what the products of a training may be rounded.
PRODUCTS = ("auto", "float32", "bfloat16")


def setting(default: Any, text: str, among: tuple[str, ...] | Range | None = None) -> Any:
    """A field of a dataclass of settings.

    Args:
        default: its type is that of the option.
        text: the help text.
        among: the values there are, if they can be listed, or the range of a number.
    """
    limits = among if isinstance(among, Range) else None
    return field(default=default, metadata={"help": text, "choices": None if limits else among, "range": limits})


@dataclass(frozen=True)
class AbstractSettings:
    """Settings whose fields are made by `setting`.

    Raises:
        ValueError: for a value that is none of the choices, or outside its range, naming it.
    """

    def __post_init__(self) -> None:
        for option in fields(self):
            value, among, limits = getattr(self, option.name), option.metadata["choices"], option.metadata["range"]
            if among is not None:
                check_choice(option.name, value, among)
            if limits is not None:
                whole = isinstance(option.default, int)
                expected = str(limits).replace("number", "whole number") if whole else str(limits)
                good = value in limits and (isinstance(value, int) or not whole)
                check(option.name, value, good, expected)


def choose(
    presets: Mapping[str, Callable[..., Choices]], preset: str, *about: Any, owner: str, changes: Mapping[str, Any]
) -> Choices:
    """A preset with changes.

    Args:
        presets: by name; each makes settings of what is to be trained.
        preset: the name of one.
        about: what is to be trained: the arguments of a preset.
        owner: the function whose settings these are.
        changes: values of some settings in place of the preset's.

    Raises:
        ValueError: for an unknown preset, a setting that ``owner`` does not have, or a value out of range.

    Example:
        >>> from hlieconv.dynamics.settings import PRESETS
        >>> choose(PRESETS, "best", 400, owner="fit", changes={"steps": 5}).steps
        5
        >>> choose(PRESETS, "best", 400, owner="fit", changes={"depth": 5})
        Traceback (most recent call last):
        ...
        ValueError: fit has no setting depth: its settings are loss, integrator, step, ...
    """
    check_choice("preset", preset, presets)
    settings = presets[preset](*about)
    known = [option.name for option in fields(settings)]
    if unknown := [name for name in changes if name not in known]:
        raise ValueError(f"{owner} has no setting {', '.join(unknown)}: its settings are {', '.join(known)}")
    return replace(settings, **{name: plain(value) for name, value in changes.items()})


def arguments_of(kind: type, settings: AbstractSettings) -> dict[str, Any]:
    """Those settings that are arguments of a constructor."""
    taken = inspect.signature(kind).parameters
    return {option.name: getattr(settings, option.name) for option in fields(settings) if option.name in taken}
