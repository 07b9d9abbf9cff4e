"""Masked batch norm against torch's own, and against itself without what is masked."""

import torch

from hlieconv.nn import MaskedBatchNorm


def test_without_a_mask_it_is_batch_norm(dtype):
    ours, theirs = MaskedBatchNorm(3).to(dtype), torch.nn.BatchNorm1d(3).to(dtype)
    values = (5 + 2 * torch.randn(4, 6, 3, dtype=torch.float64)).to(dtype)
    for _ in range(3):
        torch.testing.assert_close(ours(values), theirs(values.mT).mT)
    torch.testing.assert_close(ours.mean, theirs.running_mean)
    torch.testing.assert_close(ours.variance, theirs.running_var)
    torch.testing.assert_close(ours.eval()(values), theirs.eval()(values.mT).mT)


def test_what_is_masked_does_not_count(dtype):
    values = torch.randn(4, 6, 3, dtype=torch.float64).to(dtype)
    mask = torch.arange(6) < torch.tensor([[6], [4], [1], [3]])
    padded = torch.where(mask[..., None], values, 1e3)
    masked, alone = MaskedBatchNorm(3).to(dtype), MaskedBatchNorm(3).to(dtype)
    torch.testing.assert_close(masked(padded, mask)[mask], alone(values[mask]))
    torch.testing.assert_close(masked.variance, alone.variance)


def test_variance_far_from_zero():
    """E[x^2] - E[x]^2 would be 0 or negative here in float32: 1e8 carries no digit of 1."""
    values = 1e4 + torch.randn(50, 20, 1)
    out = MaskedBatchNorm(1)(values)
    # Rounding of the input: 1e4 * 2^-24 = 6e-4, against a standard deviation of 1.
    torch.testing.assert_close(out.std(), torch.tensor(1.0), rtol=0, atol=2e-3)


def test_derivatives():
    norm = MaskedBatchNorm(2).double()
    values = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True] * 4, [True, False, True, False], [False, True, True, True]])
    assert torch.autograd.gradcheck(lambda x: norm(x, mask), values)
    assert torch.autograd.gradgradcheck(lambda x: norm(x, mask), values)


def test_eval_mode_changes_nothing():
    norm = MaskedBatchNorm(2).eval()
    before = norm.mean.clone(), norm.variance.clone()
    norm(torch.randn(3, 4, 2))
    torch.testing.assert_close((norm.mean, norm.variance), before, rtol=0, atol=0)
