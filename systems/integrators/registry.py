"""The integrators by name. They are strings, so that nothing is imported before an integrator is used."""

#: Every integrator by its name on the command line. A new integrator is one file and one line here.
INTEGRATORS: dict[str, str] = {
    "symplectic_euler": "systems.integrators.symplectic_euler:SymplecticEuler",
    "leapfrog": "systems.integrators.leapfrog:Leapfrog",
    "yoshida4": "systems.integrators.compositions:Yoshida4",
    "yoshida6": "systems.integrators.compositions:Yoshida6",
    "yoshida8": "systems.integrators.compositions:Yoshida8",
    "blanes_moan_s6": "systems.integrators.compositions:BlanesMoanS6",
    "mclachlan_atela4": "systems.integrators.nystroem:McLachlanAtela4",
    "blanes_moan_srkn6": "systems.integrators.nystroem:BlanesMoanSRKN6",
    "blanes_moan_srkn11": "systems.integrators.nystroem:BlanesMoanSRKN11",
    "rk4": "systems.integrators.runge_kutta:RK4",
    "rattle": "systems.integrators.rattle:Rattle",
    "rattle4": "systems.integrators.rattle:Rattle4",
    "implicit_midpoint": "systems.integrators.gauss:ImplicitMidpoint",
    "gauss4": "systems.integrators.gauss:Gauss4",
    "gauss6": "systems.integrators.gauss:Gauss6",
    "average_vector_field4": "systems.integrators.average_vector_field:AverageVectorField4",
    "energy_momentum": "systems.integrators.energy_momentum:EnergyMomentum",
    "adaptive_gauss": "systems.integrators.adaptive_gauss:AdaptiveGauss",
    "torchdiffeq": "systems.integrators.torchdiffeq:Torchdiffeq",
}
