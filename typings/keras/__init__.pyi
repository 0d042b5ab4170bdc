"""The part of Keras that this project names, typed, so that the classes derived from it are checked.

Keras declares no types. What is not here is `Any`: a new use of Keras needs no line, a new base class does.
"""

from collections.abc import Sequence
from typing import Any

from . import callbacks as callbacks
from . import config as config
from . import layers as layers
from . import losses as losses
from . import metrics as metrics
from . import ops as ops
from . import optimizers as optimizers
from . import saving as saving
from . import tree as tree
from . import utils as utils
from .layers import Layer as Layer
from .metrics import Metric as Metric
from .optimizers import Optimizer as Optimizer

__version__: str
activations: Any
backend: Any
dtype_policies: Any
export: Any
initializers: Any
mixed_precision: Any
models: Any
random: Any
regularizers: Any
KerasTensor: Any
Input: Any
Variable: Any
DTypePolicy: Any
Function: Any
Initializer: Any
Quantizer: Any
Regularizer: Any
InputSpec: Any
StatelessScope: Any
Operation: Any
device: Any
name_scope: Any

class Model(Layer):
    stop_training: bool
    optimizer: Any
    loss: Any
    jit_compile: Any
    run_eagerly: bool
    steps_per_execution: int
    compiled: bool
    distribute_strategy: Any
    history: Any
    input: Any
    output: Any
    def __init__(self, *args: Any, autocast: bool = True, **kwargs: Any) -> None: ...
    @property
    def layers(self) -> list[Layer]: ...
    def compile(self, *args: Any, **kwargs: Any) -> None: ...
    def fit(self, *args: Any, **kwargs: Any) -> Any: ...
    def evaluate(self, *args: Any, **kwargs: Any) -> Any: ...
    def predict(self, *args: Any, **kwargs: Any) -> Any: ...
    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any: ...
    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any: ...
    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None: ...
    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None: ...
    def load_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None: ...
    def summary(self, *args: Any, **kwargs: Any) -> None: ...
    def get_layer(self, *args: Any, **kwargs: Any) -> Layer: ...
    def get_metrics_result(self) -> dict[str, Any]: ...
    def make_train_function(self, *args: Any, **kwargs: Any) -> Any: ...
    def make_test_function(self, *args: Any, **kwargs: Any) -> Any: ...
    def make_predict_function(self, *args: Any, **kwargs: Any) -> Any: ...
    @property
    def metrics(self) -> list[Any]: ...

class Sequential(Model):
    def __init__(self, layers: Sequence[Layer] | None = None, *args: Any, **kwargs: Any) -> None: ...
    def add(self, layer: Layer) -> None: ...
