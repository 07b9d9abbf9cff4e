"""A damped and driven oscillator."""

from __future__ import annotations

from typing import Any

import torch

from systems.damping import LinearDamping
from systems.drive import SinusoidalDrive
from systems.harmonic_trap import HarmonicTrap
from systems.phase_space import PhaseSpace
from systems.sampling import Draws


class Oscillator:
    """m q'' = -k q - b q' + a cos(w t): a `HarmonicTrap`, `LinearDamping` and a `SinusoidalDrive`, drawn at random."""

    @staticmethod
    def sample(
        count: int | range,
        *,
        seed: int,
        damping: float = 0.2,
        amplitude: float = 0.5,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> tuple[Any, PhaseSpace]:
        """Masses and trap constants of 0.5 to 1.5, frequencies of 0.5 to 2, positions and momenta N(0, 1) on a line.

        Args:
            count: number of trajectories, or their numbers: a range.
            seed: of all random numbers; the first trajectories do not depend on how many are drawn.
            damping: b, of all of them.
            amplitude: a, of all of them.

        Returns:
            The sum, with values ``(count, 1)``, and the states ``(count, 1, 1)``.

        Example:
            >>> system, state = Oscillator.sample(3, seed=0)
            >>> system.name, state.q.shape
            ('harmonic_trap + linear_damping + sinusoidal_drive', torch.Size([3, 1, 1]))
        """
        draws = Draws(count, seed)
        trap, state = HarmonicTrap.sample(count, seed=seed, dimension=1)
        drive = SinusoidalDrive([amplitude], draws.uniform(0.5, 2.0))
        system = trap + LinearDamping(damping) + drive
        return system.to(device, dtype), PhaseSpace(*(x.to(device, dtype) for x in state))
