"""Settings as dataclasses: each choice with its help text, from which the command line is made."""

from collections.abc import Iterable
from dataclasses import field, fields, replace
from typing import Any, TypeVar

Choices = TypeVar("Choices")


def setting(default: Any, text: str, among: tuple[str, ...] | None = None) -> Any:
    """A field of a dataclass of settings.

    Args:
        default: its type is that of the option.
        text: the help text.
        among: the values there are, if they can be listed.
    """
    return field(default=default, metadata={"help": text, "choices": among})


def check(name: str, value: object, good: bool, expected: str) -> None:
    """A ValueError that names the setting, unless it is good."""
    if not good:
        raise ValueError(f"{name}: expected {expected}, got {value!r}")


def check_choices(settings: Any) -> None:
    """A ValueError that names the first setting that is none of the values there are."""
    for option in fields(settings):
        among, value = option.metadata["choices"], getattr(settings, option.name)
        check(option.name, value, among is None or value in among, f"one of {', '.join(among or ())}")


def check_preset(preset: str, presets: Iterable[str]) -> None:
    """A ValueError that lists the presets, if it is none of them."""
    check("preset", preset, preset in presets, f"one of {', '.join(presets)}")


def changed(settings: Choices, changes: dict[str, Any], owner: str) -> Choices:
    """The settings with changes.

    Raises:
        ValueError: for a setting that ``owner`` does not have, or a value out of range.

    Example:
        >>> from hlieconv.dynamics.settings import Settings
        >>> changed(Settings(), {"steps": 5}, "fit").steps
        5
        >>> changed(Settings(), {"depth": 5}, "fit")
        Traceback (most recent call last):
        ...
        ValueError: fit has no setting depth: its settings are loss, integrator, step, ...
    """
    known = [option.name for option in fields(settings)]  # type: ignore[arg-type]
    if unknown := [name for name in changes if name not in known]:
        raise ValueError(f"{owner} has no setting {', '.join(unknown)}: its settings are {', '.join(known)}")
    return replace(settings, **changes)  # type: ignore[type-var]
