"""Weights of a `VAE` in files: safetensors, or Keras's own format."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_vae import weights
from keras_vae.errors import UserError

if TYPE_CHECKING:
    from keras_vae.core.vae import VAE

# A mixin's `self` is the whole model, which this rule does not allow for.
# pyright: reportGeneralTypeIssues=false


class Saving:
    """Writes the weights of a `VAE` and reads them, whichever of the two endings a path has."""

    def save_weights(self: "VAE", filepath: str | Path, overwrite: bool = True) -> None:
        """Write the weights; if it is interrupted, the file is still the old one.

        Args:
          filepath: `.safetensors`: the weights alone, by attribute path; or `.weights.h5`: by Keras, with the
            optimizers of a compiled model.
          overwrite: false: refuse a path that is taken.

        Raises:
          UserError: another ending, a path that is taken, or no room for the file.
        """
        path, suffix = Path(filepath), weights.suffix(filepath)
        if not overwrite and path.exists():
            raise UserError(f"With overwrite=False the path must be free. Given: {path}. Choose another.")
        if suffix == weights.SUFFIX:
            weights.save(path, weights.numpy_arrays(weights.named_variables(self)))
        else:
            weights.save_hdf5(self, path)

    def quantize(self: "VAE", mode: object = None, **kwargs: object) -> None:
        """Raise UserError: Keras quantises layers in memory, and no configuration of this model makes such ones again.

        Raises:
          UserError: always.
        """
        raise UserError(
            f"The networks of a model are trained and saved in floating point. Given: quantize({mode!r}). Integers are "
            f'for what is deployed: keras_vae.export(model, folder, ("onnx_int8",), examples=x) writes them, '
            f"calibrated on the images x."
        )

    def load_weights(self: "VAE", filepath: str | Path, **kwargs: Any) -> None:
        """Assign the weights in a file; if it is damaged or of another model, the weights stay as they are.

        Args:
          filepath: `.safetensors`, or `.weights.h5`, which may hold optimizers too.
          **kwargs: what else `keras.Model.load_weights` takes, of `.weights.h5` only.

        Raises:
          UserError: another ending.
          CorruptFileError: no such file, one that is damaged, or one of another model.
        """
        suffix = weights.suffix(filepath)
        if kwargs and suffix == weights.SUFFIX:
            raise UserError(
                f"Only a {weights.HDF5_SUFFIX} is loaded with options of Keras. Given: {', '.join(kwargs)}, for "
                f"{filepath}. Leave them out."
            )
        remedy = "Load it into a model of the same arguments, or save the weights again."
        if suffix == weights.SUFFIX:
            weights.load(self, filepath, remedy)
        else:
            weights.load_hdf5(self, filepath, remedy, **kwargs)
