"""Numbers of other work on the same task, read off published plots (about 10 %), and of an earlier implementation.

LIECONV_PAPER: Finzi et al. 2020 (arXiv:2002.12880), fig. 8: HLieConv-T(2), 895K parameters, the settings of our preset
"paper"; as listed by Hutchinson et al. for their own figure (github.com/oxcsml/lie-transformer at ca92869,
scripts/plotting/dynamics_data_efficiency.py).
LIECONV: the same network trained again by Hutchinson et al. 2021 (arXiv:2012.10885). Their example of a command takes
200 epochs in batches of 100 for 3,000 systems: 6,000 steps, where the settings of the paper give 870.
LIETRANSFORMER: theirs, 842K parameters. Their curves are medians over trainings of the mean over test chunks.
EARLIER: the existing public implementation of the first, run on one core in float32, one seed, 3,000 systems.
"""

from typing import NamedTuple

#: Training systems: test error, the mean over 5-point chunks.
LIECONV_PAPER = {
    10: 2.7e-3,
    25: 6.7e-3,
    50: 8.7e-4,
    100: 2.0e-3,
    400: 2.9e-4,
    1000: 1.4e-4,
    3000: 1.2e-4,
    10000: 1.7e-5,
    30000: 7.7e-6,
    96000: 2.3e-6,
}
LIECONV = {
    10: 3.7e-3,
    100: 1.7e-4,
    400: 2.6e-5,
    1000: 3.5e-5,
    3000: 5.3e-6,
    10000: 2.3e-6,
    30000: 2.0e-7,
    96000: 6.7e-8,
}
LIETRANSFORMER = {
    10: 7.3e-4,
    100: 2.5e-5,
    400: 8.6e-6,
    1000: 5.7e-6,
    3000: 1.2e-6,
    10000: 4.6e-7,
    30000: 2.9e-7,
    96000: 1.1e-7,
}

#: By name, as tables and figures show them.
CURVES = {
    "LieConv-T(2), published": LIECONV_PAPER,
    "LieConv-T(2), trained longer by Hutchinson et al.": LIECONV,
    "LieTransformer, published": LIETRANSFORMER,
}

#: Step of a rollout: mean square error (apparently after 3,000 training systems), by Hutchinson et al.
ROLLOUTS = {
    "LieConv-T(2), trained longer by Hutchinson et al.": {
        10: 8.1e-5,
        20: 3.4e-4,
        40: 1.1e-3,
        60: 1.7e-3,
        80: 2.7e-3,
        99: 3.4e-3,
    },
    "LieTransformer, published": {10: 1.5e-5, 20: 5.5e-5, 40: 1.7e-4, 60: 3.0e-4, 80: 5.2e-4, 99: 7.4e-4},
}


class Earlier(NamedTuple):
    """A training of the earlier implementation."""

    epochs: int
    cpu_seconds: float
    test_error: float


EARLIER = {
    "FC": Earlier(100, 107, 2.0e-2),
    "HFC": Earlier(100, 217, 1.7e-3),
    "OGN": Earlier(24, 380, 2.1e-3),
    "HOGN": Earlier(10, 366, 3.5e-3),
    "HLieConv-T2": Earlier(6, 491, 5.2e-3),
    "HLieConv-SO2": Earlier(6, 506, 1.5e-2),
    "HLieConv-Trivial": Earlier(6, 489, 6.5e-3),
}

#: CPU seconds of its whole README job for HLieConv-T2: 1,500 steps of 4.85 s.
EARLIER_JOB = 7300.0
