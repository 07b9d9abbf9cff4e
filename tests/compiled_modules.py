"""Run by test_torch_modes.py: groups and modules compiled and exported, in a fresh process."""

import torch

from hlieconv.groups import SE2, SE3, SO3, RxSO2
from hlieconv.images import ImageClassifier
from hlieconv.models import HLieConv
from hlieconv.molecules import MoleculeRegressor
from hlieconv.nn import LieResNet, Lifting


class Force(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = HLieConv(group="SE3", dimension=3, width=8, blocks=1, pairs="log")
        self.features = {"mass": torch.ones(1, 4), "stiffness": torch.ones(1, 4)}

    def forward(self, q):
        return self.model.condition(self.features).force(q)


class Loop(torch.nn.Module):
    def __init__(self, group):
        super().__init__()
        self.group = group

    def forward(self, a):
        return self.group.log(self.group.exp(a))


CASES = [
    *((Loop(group), (torch.rand(3, group.algebra_dimension),)) for group in (SE2(), SE3(), SO3(), RxSO2())),
    (LieResNet(SE3(), 1, 1, channels=4, layers=1, lifting=Lifting(12)), (torch.rand(1, 3, 3), torch.ones(1, 3, 1))),
    (ImageClassifier("RxSO2", size=(8, 8), channels=4, layers=1), (torch.rand(2, 1, 8, 8),)),
    (
        MoleculeRegressor("T3", channels=4, layers=1),
        (torch.tensor([[8, 1, 1]]), torch.rand(1, 3, 3), torch.ones(1, 3, dtype=torch.bool)),
    ),
]

if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for module, inputs in CASES:
        module.eval()
        # The first call is that of the compiler: nothing that it makes may be left behind.
        compiled = torch.compile(module, backend="eager", fullgraph=True)(*inputs)
        torch.testing.assert_close(compiled, module(*inputs))
        exported = torch.export.export(module, inputs).module()(*inputs)
        torch.testing.assert_close(exported, module(*inputs))
    force, q = Force(), torch.rand(1, 4, 3)
    torch.testing.assert_close(torch.compile(force, backend="eager")(q), force(q))
