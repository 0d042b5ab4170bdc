from collections.abc import Sequence
from typing import Any, Self

class Layer:
    name: str
    built: bool
    trainable: bool
    training: bool
    supports_masking: bool
    dtype_policy: Any
    compute_dtype: str
    variable_dtype: str
    dtype: str
    input_shape: Any
    input: Any
    output: Any
    output_shape: Any
    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def call(self, *args: Any, **kwargs: Any) -> Any: ...
    def build(self, input_shape: Any, /) -> None: ...
    def add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Any: ...
    def add_loss(self, loss: Any) -> None: ...
    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any: ...
    def count_params(self) -> int: ...
    def get_config(self) -> dict[str, Any]: ...
    @classmethod
    def from_config(cls, config: Any) -> Self: ...
    def get_weights(self) -> list[Any]: ...
    def set_weights(self, weights: Sequence[Any]) -> None: ...
    @property
    def weights(self) -> list[Any]: ...
    @property
    def variables(self) -> list[Any]: ...
    @property
    def trainable_variables(self) -> list[Any]: ...
    @property
    def non_trainable_variables(self) -> list[Any]: ...
    @property
    def trainable_weights(self) -> list[Any]: ...
    @property
    def non_trainable_weights(self) -> list[Any]: ...
    @property
    def losses(self) -> list[Any]: ...
    @property
    def path(self) -> str: ...

class Dense(Layer):
    def __init__(self, units: int, *args: Any, **kwargs: Any) -> None: ...

class Conv2D(Layer):
    kernel_size: Any
    strides: Any
    padding: str
    filters: int
    kernel: Any
    bias: Any
    def __init__(self, filters: int, kernel_size: Any, *args: Any, **kwargs: Any) -> None: ...

def __getattr__(name: str) -> Any: ...
