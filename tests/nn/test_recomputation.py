"""A recomputed function is the function, to any order and under every transform."""

import pytest
import torch

from hlieconv.nn.recomputation import recomputed


def function(x, w):
    return torch.tanh(x @ w).sin(), x.square().sum(-1)


def kept(x, w):
    return recomputed(function, x, w)


@pytest.fixture
def arguments():
    return (
        torch.randn(4, 3, dtype=torch.float64, requires_grad=True),
        torch.randn(3, 2, dtype=torch.float64, requires_grad=True),
    )


def test_backward_forward_and_second_order(arguments):
    assert torch.autograd.gradcheck(kept, arguments, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(kept, arguments, check_fwd_over_rev=True)


def test_third_order():
    def third(f):
        return torch.func.grad(torch.func.grad(torch.func.grad(f)))(torch.tensor(0.7, dtype=torch.float64))

    torch.testing.assert_close(third(lambda x: recomputed(torch.sin, x)), third(torch.sin))


def test_transforms(arguments):
    x, w = (argument.detach() for argument in arguments)

    def energy(f):
        return lambda x: f(x, w)[0].sum() + f(x, w)[1].square().sum()

    for transform in (torch.func.grad, torch.func.hessian, torch.func.jacrev, torch.func.jacfwd):
        torch.testing.assert_close(transform(energy(kept))(x), transform(energy(function))(x))
    rows = torch.vmap(torch.func.grad(lambda row: kept(row[None], w)[0].sum()))(x)
    torch.testing.assert_close(rows, torch.func.grad(lambda x: function(x, w)[0].sum())(x))


def test_only_the_arguments_are_kept():
    """The graph of the first derivative holds the recomputed function whole, and nothing of its inside."""

    def deep(x):
        for _ in range(10):
            x = x.tanh() * x
        return x

    def graph(f):
        x = torch.randn(3, requires_grad=True)
        (slope,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
        found, front = set(), [slope.grad_fn]
        while front:
            node = front.pop()
            if node is not None and node not in found:
                found.add(node)
                front += [parent for parent, _ in node.next_functions]
        return found

    nodes = graph(lambda x: recomputed(deep, x))
    assert sorted(node.name() for node in nodes if "Recomputed" in node.name()) == ["_RecomputedBackward"]
    assert len(nodes) <= 6
    assert len(graph(deep)) > 20
