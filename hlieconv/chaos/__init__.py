"""Order and chaos: what happens to neighbours of a trajectory, of any vector field, known or learned.

tangent.py        the variational equations; the tangent map, which is symplectic where the method is
exponents.py      Lyapunov exponents
indicators.py     MEGNO, GALI, SALI
returns.py        the return map of a surface of section
"""

from hlieconv.chaos.exponents import lyapunov_exponents
from hlieconv.chaos.indicators import gali, megno, sali
from hlieconv.chaos.returns import Return, return_map
from hlieconv.chaos.tangent import TangentMap, tangent_map

__all__ = [
    "Return",
    "TangentMap",
    "gali",
    "lyapunov_exponents",
    "megno",
    "return_map",
    "sali",
    "tangent_map",
]
