from typing import Any

class Bijector:
    name: str
    def __init__(
        self,
        graph_parents: Any = None,
        is_constant_jacobian: bool = False,
        validate_args: bool = False,
        dtype: Any = None,
        forward_min_event_ndims: Any = ...,
        inverse_min_event_ndims: Any = ...,
        experimental_use_kahan_sum: bool = False,
        parameters: dict[str, Any] | None = None,
        name: str | None = None,
    ) -> None: ...
    @property
    def dtype(self) -> Any: ...
    def forward(self, x: Any, name: str = ..., **kwargs: Any) -> Any: ...
    def inverse(self, y: Any, name: str = ..., **kwargs: Any) -> Any: ...
    def forward_log_det_jacobian(self, x: Any, event_ndims: Any = None, name: str = ..., **kwargs: Any) -> Any: ...
    def inverse_log_det_jacobian(self, y: Any, event_ndims: Any = None, name: str = ..., **kwargs: Any) -> Any: ...

def __getattr__(name: str) -> Any: ...
