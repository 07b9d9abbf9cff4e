"""The ridge regression under the energies: what it sees, and that it finds a sum over atoms and pairs."""

import torch
from random_molecules import molecules

from hlieconv.molecules import Molecules, fit_molecules, load, predict
from hlieconv.molecules.baseline import FEATURES, HATS, KINDS, fitted, histogram, of_all
from hlieconv.molecules.batches import padded
from hlieconv.molecules.data import TARGETS


def counts_of(molecules, index):
    charge, position, mask = padded(molecules, index)
    return histogram(charge, position.double(), mask)


def test_it_counts_atoms_and_pairs():
    some = molecules(20)
    counts = counts_of(some, torch.arange(20))
    assert counts.shape == (20, FEATURES)
    assert torch.equal(counts[:, :KINDS].sum(-1).long(), some.n_atoms)
    pairs = some.n_atoms * (some.n_atoms - 1) / 2
    assert torch.allclose(counts[:, KINDS:].sum(-1), pairs.double())


def test_it_sees_which_elements_and_how_far_apart_they_are():
    mask = torch.ones(1, 2, dtype=torch.bool)

    def pair(first, second, distance):
        position = torch.tensor([[[0.0, 0, 0], [0, distance, 0]]]).double()
        return histogram(torch.tensor([[first, second]]), position, mask)[0, KINDS:].reshape(-1, HATS)

    assert torch.equal(pair(1, 8, 1.5), pair(8, 1, 1.5))
    kinds = {int(pair(a, b, 1.5).sum(-1).argmax()) for a in (1, 6, 7, 8, 9) for b in (1, 6, 7, 8, 9) if a <= b}
    assert kinds == set(range(15))
    near, far = pair(6, 6, 1.5), pair(6, 6, 1.5 + 1e-6)
    assert 0 < (near - far).abs().max() < 1e-4  # continuous
    assert torch.equal(pair(6, 6, 20.0), pair(6, 6, 30.0))


def test_it_finds_a_sum_over_atoms_and_pairs():
    some, train = molecules(1500, largest=5), torch.arange(1400)
    generator = torch.Generator().manual_seed(0)
    atoms = torch.randn(KINDS, generator=generator, dtype=torch.float64)
    energy = counts_of(some, torch.arange(1500))
    true = energy[:, :KINDS] @ atoms + energy[:, KINDS:].reshape(1500, -1, HATS).sum(1) @ torch.linspace(
        1, 0, HATS, dtype=torch.float64
    )
    weights = fitted(some, train, true[train, None])
    error = (of_all(some, weights)[1400:, 0] - true[1400:]).abs().mean()
    assert error < 1e-2 * (true - true.mean()).abs().mean()


def test_a_model_keeps_it(tmp_path):
    """Of energies a network that has hardly learnt predicts what the regression says, after loading too."""
    some = molecules(400, largest=4)
    target = some.target.clone()
    target[:, list(TARGETS).index("u0")] = counts_of(some, torch.arange(400))[:, :KINDS].sum(-1)  # hartree
    some = Molecules(*some[:3], target, some.number)
    options = {"channels": 8, "layers": 1, "epochs": 0.1, "optimiser": "adam", "learning_rate": 1e-9}
    fit = fit_molecules(some, ("u0", "homo"), path=tmp_path / "run", **options)
    assert fit.model.linear[:, 0].any()
    assert not fit.model.linear[:, 1].any()  # not for HOMO
    found = predict(load(tmp_path / "run"), some)
    assert torch.equal(found, predict(fit.model, some))
    true = some.targets(("u0",))[:, 0].to(found)
    assert (found[:, 0] - true).abs().mean() < 1e-2 * (true - true.median()).abs().mean()
    without = fit_molecules(some, ("u0",), baseline=0, **options).model
    assert (predict(without, some)[:, 0] - true).abs().mean() > 0.5 * (true - true.median()).abs().mean()
