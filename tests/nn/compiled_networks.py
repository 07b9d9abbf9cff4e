"""Run by test_compile.py in a process of its own: the compiler does not understand the tests' type checks."""

from functools import partial

import torch

from hlieconv.groups import SE2, T
from hlieconv.nn import BottleneckBlock, LieConv, LieResNet, Lifting, Neighbourhood

#: The number of points; the group; how it lifts; the options of its neighbourhood, its convolutions and itself.
NETWORKS = (
    (5, SE2(), Lifting(4), {}, {}, {}),
    (5, SE2(), Lifting(), {"coordinates": "bi_invariants"}, {"aggregation": "sum"}, {"pooling": "sum"}),
    (300, T(2), Lifting(), {"radius": 1.0, "edge": "smooth", "neighbours": 200}, {}, {}),
    (30, T(2), Lifting(), {"tile": 10}, {"tile": 10}, {}),
)


def output_and_slope(network, points, values):
    x = points.clone().requires_grad_()
    output = network(x, values)
    return output, torch.autograd.grad(output.sum(), x)[0]


if __name__ == "__main__":
    torch.set_num_threads(1)
    for n, group, lifting, pairs, kernel, options in NETWORKS:
        network = LieResNet(
            group,
            3,
            2,
            channels=8,
            layers=2,
            lifting=lifting,
            neighbourhood=Neighbourhood(group, **pairs),
            block=partial(BottleneckBlock, convolution=partial(LieConv, **kernel)),
            **options,
        ).double()
        points, values = 5 * torch.rand(2, n, 2, dtype=torch.float64), torch.randn(2, n, 3, dtype=torch.float64)
        compiled = torch.compile(network, fullgraph="tile" not in kernel, backend="eager")
        expected = output_and_slope(network, points, values)
        torch.testing.assert_close(output_and_slope(compiled, points, values), expected)
        print(group.name, lifting, pairs, kernel, options)
