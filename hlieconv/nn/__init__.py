"""LieConv: convolution over group elements, for any group and any points. No physics.

Names are imported on first use, so that no command imports torch before it must.
"""

from hlieconv.lazy import lazy

__getattr__, __dir__ = lazy(
    __name__,
    (
        "hlieconv.nn.bottleneck:BottleneckBlock",
        "hlieconv.nn.convolution:LieConv",
        "hlieconv.nn.convolution:Pairs",
        "hlieconv.nn.equivariance:assert_equivariant",
        "hlieconv.nn.equivariance:equivariance_error",
        "hlieconv.nn.lifting:LiftedPoints",
        "hlieconv.nn.lifting:Lifting",
        "hlieconv.nn.lifting:lift",
        "hlieconv.nn.neighbour_list:nearest",
        "hlieconv.nn.neighbourhood:Neighbourhood",
        "hlieconv.nn.normalisation:MaskedBatchNorm",
        "hlieconv.nn.resnet:LieResNet",
    ),
)
