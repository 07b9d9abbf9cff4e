"""How a solution ended: what integrators report of each trajectory, and Datasets store."""

from enum import IntEnum


class Status(IntEnum):
    """Why a trajectory has no more values from some time on; `OK` where it has all of them.

    Example:
        >>> Status(2).meaning
        'singular'
    """

    OK = 0
    DIVERGED = 1
    SINGULAR = 2
    OUT_OF_STEPS = 3
    UNSOLVED = 4
    EVENT = 5

    @property
    def meaning(self) -> str:
        """One word, as netCDF's ``flag_meanings`` wants."""
        return self.name.lower()

    @property
    def explanation(self) -> str:
        """A sentence for people."""
        return _EXPLANATIONS[self]


_EXPLANATIONS = {
    Status.OK: "all of it was computed",
    Status.DIVERGED: "left the finite numbers: the motion is unstable, or the step is too long",
    Status.SINGULAR: "met a point at which the force is infinite or has no direction, such as a collision",
    Status.OUT_OF_STEPS: "used up max_steps between two output times: the motion is too stiff",
    Status.UNSOLVED: "has implicit steps that do not converge: the step is too long",
    Status.EVENT: "reached a terminal event",
}
