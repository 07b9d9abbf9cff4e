from .evaluation import chunk_error as chunk_error
from .fitting import Fit as Fit
from .fitting import fit as fit
from .loading import load as load
from .rollouts import default_integrator as default_integrator
from .rollouts import rollout as rollout
from .settings import Settings as Settings
