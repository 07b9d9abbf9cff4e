"""Values and first and second derivatives: right away from the cut, and finite everywhere."""

import math

import pytest
import torch
from group_cases import (
    NAMES,
    WITHOUT_SAMPLES,
    make,
    random_algebra,
    random_points,
    rotations_of,
    singular_algebra,
    singular_points,
)


@pytest.fixture(params=NAMES)
def group(request):
    return make(request.param)


def derivatives(values, inputs):
    """Jacobian (m, outputs, inputs) of values (m, outputs) by inputs (m, inputs), and its derivative along (1, ..., 1)
    weighted with all outputs, (m, inputs)."""
    if not (values.numel() and inputs.numel() and values.requires_grad):
        empty = inputs.new_zeros(len(inputs), values.shape[-1], inputs.shape[-1])
        return empty, empty.sum(-2)
    rows = [torch.autograd.grad(column.sum(), inputs, create_graph=True)[0] for column in values.unbind(-1)]
    first = torch.stack(rows, -2)
    weight = torch.linspace(1, 2, first.shape[-2], dtype=first.dtype)[:, None]
    if not first.requires_grad:
        return first, torch.zeros_like(inputs)
    second = torch.autograd.grad((weight * first).sum(), inputs, retain_graph=True, allow_unused=True)[0]
    return first.detach(), torch.zeros_like(inputs) if second is None else second


def test_log_of_exp_is_the_identity_map(group, dtype, generator):
    """Its Jacobian is 1 and its second derivatives vanish, also at singular points. That tests both functions'."""
    eps = torch.finfo(dtype).eps
    a = torch.cat([singular_algebra(group, generator, at_the_cut=False), random_algebra(group, (20,), generator)])
    a = a[a[:, rotations_of(group)].norm(dim=-1) < math.pi - 1e-6].to(dtype).requires_grad_()
    first, second = derivatives(group.log(group.exp(a)), a)
    # The logarithm is well conditioned up to pi, and each derivative costs a factor of its condition (below 10).
    assert ((first - torch.eye(a.shape[-1], dtype=dtype)).abs() <= 50 * eps).all()
    assert (second.abs() <= 500 * eps).all()


@pytest.mark.parametrize("at", ["identity", "coincident", "apart"])
def test_pairs_are_finite(group, at, dtype, generator):
    a = singular_algebra(group, generator).to(dtype)
    b = {"identity": torch.zeros_like(a), "coincident": a.clone(), "apart": 1e-4 - a}[at]
    a = a.requires_grad_()
    u, v = group.exp(a), group.exp(b)
    pairs = [group.relative(u, v), group.embedding(u, v)]
    if group.name not in WITHOUT_SAMPLES:
        pairs.append(group.bi_invariants(u, v))
    for values in pairs:
        for result in (values, *derivatives(values, a)):
            assert torch.isfinite(result).all()


def test_lifts_are_finite(group, dtype):
    points = singular_points(group).to(dtype).requires_grad_()
    elements, orbit = group.section(points)
    for values in (elements.flatten(-2), orbit):
        first, second = derivatives(values, points)
        assert torch.isfinite(values).all()
        assert torch.isfinite(first).all()
        assert torch.isfinite(second).all()


def test_all_pairs_of_lifts_are_finite(group, dtype):
    points = singular_points(group).to(dtype).requires_grad_()
    elements, _ = group.section(points)
    u, v = elements[:, None], elements
    values = torch.cat([group.embedding(u, v), group.relative(u, v)], -1).flatten(1)
    assert torch.isfinite(values).all()
    if values.requires_grad:
        first = torch.autograd.grad(values.sum(), points, create_graph=True)[0]
        assert torch.isfinite(first).all()
        if first.requires_grad:
            assert torch.isfinite(torch.autograd.grad(first.sum(), points)[0]).all()


def test_under_function_transforms(group, generator):
    """`torch.func.grad` is what forces are computed with."""
    points = random_points(group, (3,), generator)

    def energy(points):
        elements, orbit = group.section(points)
        return group.embedding(elements[:, None], elements).square().sum() + orbit.square().sum()

    force = torch.func.grad(energy)(points)
    inputs = points.clone().requires_grad_()
    torch.testing.assert_close(force, torch.autograd.grad(energy(inputs), inputs)[0])
