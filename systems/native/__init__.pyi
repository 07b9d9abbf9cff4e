from .compiled import Compiled as Compiled
