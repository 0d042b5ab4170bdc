"""The runtimes of an exported bundle: one file a runtime, all with the same methods.

`keras_vae.benchmarking` times them. Nothing here imports TensorFlow but the runtimes that are TensorFlow, when they are
opened.
"""

from typing import TYPE_CHECKING

from keras_vae import lazy

if TYPE_CHECKING:
    from keras_vae.benchmarking.comparing import join as join
    from keras_vae.benchmarking.comparing import recommend as recommend
    from keras_vae.benchmarking.picture import plot as plot
    from keras_vae.benchmarking.rounds import benchmark as benchmark
    from keras_vae.benchmarking.rounds import benchmark_all as benchmark_all
    from keras_vae.benchmarking.tables import markdown as markdown
    from keras_vae.runtimes.base import Runtime as Runtime
    from keras_vae.runtimes.registry import KNOWN as KNOWN
    from keras_vae.runtimes.registry import Installed as Installed
    from keras_vae.runtimes.registry import Known as Known
    from keras_vae.runtimes.registry import formats_of as formats_of
    from keras_vae.runtimes.registry import held as held
    from keras_vae.runtimes.registry import installed as installed
    from keras_vae.runtimes.registry import names as names
    from keras_vae.runtimes.registry import open as open

__getattr__, __dir__, __all__ = lazy.attach(__name__)
