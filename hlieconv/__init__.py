"""Learn Hamiltonians with the symmetries you choose, and see what they conserve.

Names are imported on first use, so that every ``--help`` is instant.
"""

from hlieconv.lazy import lazy

__getattr__, __dir__ = lazy(
    __name__,
    (
        "hlieconv.nn.equivariance:assert_equivariant",
        "hlieconv.nn.equivariance:equivariance_error",
    ),
)
