"""Two processes that train together, forked from one that has imported everything; run by test_parallel.py."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from unittest import mock

import torch
import torch.distributed as distributed
import xarray as xr
from torch import nn

import systems
from hlieconv.dynamics import fit
from hlieconv.dynamics.trajectories import Trajectories
from hlieconv.images import ImageData, fit_images
from hlieconv.models import HLieConv
from hlieconv.molecules import fit_molecules
from hlieconv.training.loop import Shuffle, train
from hlieconv.training.parallel import Parallel
from hlieconv.training.run import keep
from systems import Springs, simulate
from systems.dataset import blocks
from systems.ranks import Ranks

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "molecules"))
from random_molecules import molecules
from two_processes import fork_two

torch.set_num_threads(1)
CONFIG = {"model": {"config": {}}, "settings": {"steps": 30}}
DATA = simulate(*Springs.sample(8, seed=0, bodies=3), torch.linspace(0, 1, 11, dtype=torch.float64))
RAGGED = simulate(*Springs.sample(8, seed=0, bodies=(2, 4)), torch.linspace(0, 1, 11, dtype=torch.float64))
generator = torch.Generator().manual_seed(0)
#: Of bodies that are not all seen, more of them in one half of a batch than in the other, with errors that are known.
SEEN = xr.DataArray(torch.rand(8, 11, 4, generator=generator).numpy() > 0.2, dims=("trajectory", "time", "body"))
UNCERTAIN = RAGGED.assign({name: RAGGED[name].where(SEEN | (RAGGED["time"] * 10 % 2 < 0.5)) for name in ("q", "p")})
UNCERTAIN = UNCERTAIN.assign({f"{name}_error": 0 * RAGGED[name] + 0.01 for name in ("q", "p")})
SHOOTING = {"loss": "multiple_shooting", "first_states": "fitted", "residuals": "robust", "batch": 7, "steps": 4}
X = torch.randn(40, 3, dtype=torch.float64, generator=generator)
PICTURES = torch.randint(256, (24, 1, 8, 8), generator=generator, dtype=torch.uint8)
LABELS = torch.arange(24) % 2


def network(norm=False):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8) if norm else nn.Tanh(), nn.Linear(8, 1)).double()


def loss(model, index):
    return (model(X[index]) - X[index].square().sum(-1, keepdim=True)).square().mean()


def regress(model, run=None, **options):
    defaults = {
        "steps": 30,
        "optimiser": "adam",
        "weight_average": 0.9,
        "validate": lambda model: loss(model, slice(None)),
    }
    return train(model, loss, Shuffle(40, 10, seed=0), run=run, records=3, **(defaults | options))


def dynamics(data, optimiser="adam", **options):
    torch.manual_seed(0)
    model = HLieConv.of(data, width=8, blocks=1).double()
    given = {"steps": 12, "batch": 8, "compile": "off", "progress": False, "optimiser": optimiser} | options
    history = fit(model, data, **given).history
    return flat(model), history


def pictures():
    data = ImageData("squares", PICTURES, LABELS, PICTURES[:4], LABELS[:4])
    small = {"channels": 8, "layers": 1, "subsampling": 0.5, "neighbours": 5, "stem": 0, "group": "T2"}
    return flat(fit_images(data, epochs=2.0, batch=8, validation=0.25, **small).model)


def flat(model):
    return torch.cat([x.detach().double().flatten() for x in model.parameters()])


def single():
    """What one process does."""
    plain, normed = network(), network(norm=True)
    history = regress(plain)
    regress(normed)
    return {
        "plain": (flat(plain), history),
        "ragged": dynamics(RAGGED),
        "uncertain": dynamics(UNCERTAIN, **SHOOTING),
        "soap": dynamics(DATA, "soap", steps=100),
    }


def apart(a, b):
    return float((a - b).abs().max() / b.abs().max())


def meet(number, folder, name="meeting"):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/{name}", rank=number, world_size=2)
    return Ranks(number, 2)


def of_file(folder, **options):
    """The training by a file of which two trajectories are a block; and which of them were read."""
    read, place = [], Trajectories._place

    def seen(found, own, block, *rest):
        read.extend(block["trajectory"].values.tolist())
        place(found, own, block, *rest)

    with (
        mock.patch.object(blocks, "BLOCK_VALUES", 2 * 11 * 3 * 2),
        mock.patch.object(Trajectories, "_place", staticmethod(seen)),
    ):
        weights, _ = dynamics(systems.open(folder / "data.zarr"), **options)
    return weights, read


def killed(number, folder, who, step):
    """In a training by a file one of both is killed."""
    meet(number, folder, f"meeting{step}")
    mean, left = Parallel.mean, iter(range(step - 1))

    def dying(self, *given):
        if next(left, None) is None and number == who:
            os.kill(os.getpid(), signal.SIGKILL)
        return mean(self, *given)

    text = ""
    with mock.patch.object(Parallel, "mean", dying):
        try:
            of_file(folder, path=folder / "of_file", checkpoint_steps=5)
        except ValueError as error:
            text = str(error)
    assert text == "ranks: another process has ended; the same call goes on with what it has kept", text


def resumed(number, folder):
    """It goes on with the same bits; and each has read its own part of the file."""
    everybody = meet(number, folder, "again")
    weights, _ = of_file(folder, path=folder / "of_file", checkpoint_steps=5)
    whole, read = of_file(folder)
    assert torch.equal(weights, whole)
    assert torch.equal(whole, dynamics(DATA)[0])
    mine, other = map(set, everybody.gathered(read))
    assert mine
    assert other
    assert not mine & other


def rank(number, folder, one):
    everybody = meet(number, folder)

    def same(x):
        """On both processes, to the last bit."""
        first, second = everybody.gathered(x)
        assert torch.equal(first, second)
        return x

    plain = network()
    history = regress(plain)
    assert apart(same(flat(plain)), one["plain"][0]) < 1e-14
    for mine, other in zip(history, one["plain"][1], strict=True):
        for name in ("loss", "validation"):
            assert abs(mine[name] - other[name]) < 1e-13 * abs(other[name])
    soap = {"optimiser": "soap", "steps": 100}
    for name, data, options, bound in (
        ("ragged", RAGGED, {}, 1e-14),
        ("uncertain", UNCERTAIN, SHOOTING, 1e-12),  # differences over a hundredth of a unit: `first_states.APART`
        ("soap", DATA, soap, 1e-9),
    ):
        weights, history = dynamics(data, **options)
        found = apart(same(weights), one[name][0])
        assert found < bound, (name, found)
    normed = network(norm=True)
    regress(normed)
    same(flat(normed))
    same(pictures())
    some = {"channels": 8, "layers": 1, "batch": 10, "epochs": 2.0, "normalise": "batch"}
    same(flat(fit_molecules(molecules(40, largest=4), **some).model))

    # After a kill the same processes go on with the same bits; the first one writes.
    def killing(step):
        """The loss, which ends both processes."""
        left = iter(range(step))

        def dying(model, index):
            if next(left, None) is None:
                raise ZeroDivisionError
            return loss(model, index)

        return dying

    def kept(model, how=loss):
        def training(run):
            assert (run is not None) == (number == 0)
            return train(model, how, Shuffle(40, 10, seed=0), run=run, steps=30, checkpoint_steps=7, records=3)

        return keep(folder / "run", CONFIG, model, training)

    whole, resumed = network(), network()
    train(whole, loss, Shuffle(40, 10, seed=0), steps=30, records=3)
    with suppress(ZeroDivisionError):
        kept(network(), killing(18))
    kept(resumed)
    assert torch.equal(same(flat(resumed)), flat(whole))
    again = network()
    kept(again)  # done
    assert torch.equal(same(flat(again)), flat(whole))

    # Who was asked for something else is named on both; who is asked to stop, stops both at one step.
    text = ""
    try:
        dynamics(DATA, batch=4 + 4 * number)
    except ValueError as error:
        text = str(error)
    assert "got another settings batch on rank 1" in text, text
    reached = []

    def asking(model, index):
        reached.append(0)
        if number == 1 and len(reached) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(model, index)

    with suppress(KeyboardInterrupt):
        train(network(), asking, Shuffle(40, 10, seed=0), steps=300)
    first, second = everybody.gathered(len(reached))
    assert first == second < 30
    distributed.destroy_process_group()


def main(folder):
    one = single()
    fork_two(lambda number: rank(number, folder, one))
    systems.save(DATA.assign_coords(trajectory=range(8)), folder / "data.zarr")
    for who, step in ((1, 8), (0, 6)):  # after the checkpoints of steps 5 and 10
        fork_two(lambda number, who=who, step=step: killed(number, folder, who, step), killed=who)
    fork_two(lambda number: resumed(number, folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
