"""From the folder of a run to its model, without running what the folder names.

A configuration is data. Nothing that it names is imported or called unless it is registered in the library, or the
caller hands over the class, or says that the code is trusted.
"""

import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hlieconv.training.allocation import Limited
from hlieconv.training.device import device_named
from hlieconv.training.run import CONFIG, MODEL, read_config, read_weights

#: Bytes that a model may take while it is built, and how many for each byte of its weights.
FREE, EXPANSION = 2**26, 8

Weights = Mapping[str, Tensor]


def describe(model: nn.Module, arguments: dict[str, Any], registry: Mapping[str, str]) -> dict[str, Any]:
    """How to build a model again: its registered name, or its import path, and its constructor's arguments.

    Raises:
        ValueError: if an argument is not a JSON value.
    """
    own = _import_path(type(model))
    try:
        json.dumps(arguments)
    except TypeError as error:
        raise ValueError(f"model: expected JSON values in the config of {own} ({error})") from error
    return {"name": next((name for name, target in registry.items() if target == own), own), "config": arguments}


def network_of(kind: type[nn.Module], arguments: dict[str, Any], tensors: Weights) -> nn.Module:
    """A network of these arguments and weights, in the precision of the weights."""
    model = kind(**arguments)
    model.to(next((tensors[name].dtype for name, _ in model.named_parameters()), None))
    model.load_state_dict(tensors)
    return model


def load(
    path: str | Path,
    registry: Mapping[str, str],
    bases: tuple[type[nn.Module], ...],
    *,
    build: Callable[[type[nn.Module], dict[str, Any], Weights], nn.Module] = network_of,
    model: type[nn.Module] | None = None,
    trust_code: bool = False,
    device: str = "cpu",
) -> Any:
    """The trained model of a run.

    Args:
        path: the folder.
        registry: what may be built: names, and import paths ``"package.module:Class"``.
        bases: what a model has to be.
        build: ``build(kind, arguments, tensors)``.
        model: the class, if it is one of your own.
        trust_code: whether to import what the folder names: a model or a group of somebody's own. Its code then runs.
        device: "cpu", "cuda", ... or "auto".

    Raises:
        ValueError: if the folder holds no finished run, a file is corrupt, or something that it names is not
            registered and not trusted, or cannot be imported.
    """
    path = Path(path)
    description = read_config(path, verify=False)["model"]  # what would run is said first
    tensors = read_weights(path)
    name, arguments = description["name"], description["config"]
    if not isinstance(name, str):
        raise ValueError(f"{path / CONFIG}: expected the name of a model, got {name!r}")
    known = {target: target for target in registry.values()} | dict(registry)
    if not trust_code:
        for text in _import_paths(arguments):
            raise ValueError(f"{path}: names {text} in its configuration, whose code would run: {TRUST}")
        if model is None and ":" in name and name not in known:
            cls = name.rpartition(":")[2]
            raise ValueError(f"{path}: names the class {name}, whose code would run: {TRUST}, or pass model={cls}")
    target = known.get(name, name)
    kind = _class(target, registry) if model is None else _checked(model, target)
    if not (isinstance(kind, type) and issubclass(kind, bases)):
        raise ValueError(f"model: expected a subclass of {' or '.join(x.__name__ for x in bases)}, got {target}")
    read_config(path)
    size = sum(tensor.nbytes for tensor in tensors.values())
    try:
        # Its arguments are data, and may ask for any amount of memory.
        with Limited(FREE + EXPANSION * size, 1000 + 10 * len(tensors)):
            built = build(kind, arguments, tensors)
    except ValueError as error:
        raise ValueError(f"{path / CONFIG}: {error}") from error
    except (RuntimeError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path / MODEL}: does not fit {target} with the arguments of {CONFIG} ({reason})") from error
    return built.to(device_named(device)).eval()


#: What to do about a refusal.
TRUST = "if you trust whoever made it, pass trust_code=True (--trust-code on the command line)"


def _class(target: str, registry: Mapping[str, str]) -> Any:
    if ":" not in target:
        raise ValueError(f"model: expected one of {', '.join(registry)} or package.module:Class, got {target}")
    try:
        return pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"model {target}: cannot be imported ({error}); is its folder on PYTHONPATH?") from error


def _checked(model: type[nn.Module], target: str) -> type[nn.Module]:
    """The class in hand, if it is the one that was saved; its module may have another name by now."""
    if _import_path(model).rpartition(":")[2] != target.rpartition(":")[2]:
        raise ValueError(f"model: expected the class {target} that was saved, got {_import_path(model)}")
    return model


def _import_path(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _import_paths(value: Any) -> Iterator[str]:
    """Texts in the arguments of a constructor that may be import paths, such as a group of somebody's own."""
    if isinstance(value, str) and ":" in value:
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _import_paths(part)
    elif isinstance(value, list):
        for part in value:
            yield from _import_paths(part)
