from .logs import TensorBoard as TensorBoard
from .logs import write_csv as write_csv
from .loop import Shuffle as Shuffle
from .loop import train as train
from .result import Fit as Fit
from .run import Run as Run
from .soap import SOAP as SOAP
