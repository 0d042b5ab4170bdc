# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 8. From your own data to a decoder in the browser
#
# Nothing here is prepared: a table that has holes, and a folder of pictures. Both end as a trained model, and the second as files that run
# without TensorFlow, in a browser too.
#
# ## A table with holes
#
# The 30 measurements of 569 tumours that come with scikit-learn, as a CSV file in which every fifth cell is empty.

# %%
import tempfile
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_breast_cancer

from keras_vae import data, evaluation, export, plots, runtimes, tasks
from keras_vae.models import VAE

folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)
whole = load_breast_cancer()
hole = rng.random(whole.data.shape) < 0.2
lines = [",".join(name.replace(" ", "_") for name in whole.feature_names)]
for row, empty in zip(whole.data, hole, strict=True):
    lines.append(",".join("" if gone else f"{cell:g}" for cell, gone in zip(row, empty, strict=True)))
_ = (folder / "cells.csv").write_text("\n".join(lines), encoding="utf-8")

# %% [markdown]
# An empty cell is read as NaN, and `missing="mask"` makes a model that takes it: log p(x|z) sums over what was observed, and the encoder is
# told where the holes are. Nothing is filled in before the training, so that nothing invented is trained on. Columns are standardised inside
# the model, by what was observed of them, and each has a scale that says how well the model knows it.

# %%
table = data.table(folder / "cells.csv", missing=True)
of_rows = VAE(
    x_shape=(30,),
    latent_dim=6,
    encoder={"name": "mlp", "hidden": [64]},
    decoder={"name": "mlp", "hidden": [64]},
    likelihood={"name": "normal", "scale": "feature", "standardize": True},
    missing="mask",
)
of_rows.compile(keras.optimizers.Adam(2e-3), jit_compile=False)
of_rows.fit(table.x, batch_size=32, epochs=150, verbose=0)
filled = tasks.fill_in(of_rows, table.x, samples=500, draws=100)

# %% [markdown]
# `fill_in` gives two answers about a hole, both of $p(x_{missing} \mid x_{observed})$: its mean, the one best number, and draws, which say how
# far off that may be. An interval that claims 90 % should hold 90 % of what was in the holes.

# %%
centre, spread = np.nanmean(table.x, axis=0), np.nanstd(table.x, axis=0)
truth, mean, draws = ((array - centre) / spread for array in (whole.data, filled.mean, filled.draws))
error = np.sqrt(((mean - truth)[hole] ** 2).mean())
of_means = np.sqrt((truth[hole] ** 2).mean())
claimed = np.arange(0.1, 1.0, 0.1)
ends = [np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2], axis=0) for level in claimed]
held = np.array([((low < truth) & (truth < high))[hole].mean() for low, high in ends])
print(f"error of a hole, in standard deviations: {error:.2f}; of the column's mean {of_means:.2f}")
print(f"in the 90 % interval: {held[-1]:.0%}")

figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.4), layout="constrained")
axes[0].plot(truth[hole], mean[hole], ".", markersize=2)
axes[0].plot([-3, 5], [-3, 5], color="grey")
axes[0].set(xlabel="what was in the hole", ylabel="what was filled in", xlim=(-3, 5), ylim=(-3, 5))
axes[1].plot(claimed, held, "o-")
axes[1].plot([0, 1], [0, 1], color="grey")
axes[1].set(xlabel="share that an interval claims", ylabel="share of holes in it")
plt.show()

# %% [markdown]
# ## A folder of pictures
#
# Yours are there already; these are drawn: faces of any colour, mood and place. `data.folder` reads whatever Pillow does, resizes it, and keeps
# a file in its split by a hash of its name, so that pictures added later move none from training to testing.


# %%
def face():
    """A picture of a face, 64 x 64 in colour."""
    picture = Image.new("RGB", (64, 64), tuple(rng.integers(200, 256, 3)))
    pen, (x, y) = ImageDraw.Draw(picture), rng.integers(24, 41, 2)
    radius, mood, look = rng.integers(14, 22), rng.uniform(-1, 1), rng.integers(-2, 3)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tuple(rng.integers(40, 256, 3)), outline="black")
    for side in (-1, 1):
        eye = x + side * radius * 0.4 + look
        pen.ellipse((eye - 3, y - radius * 0.4 - 3, eye + 3, y - radius * 0.4 + 3), fill="black")
    steps = np.linspace(-1, 1, 9)
    mouth = [(x + step * radius * 0.5, y + radius * (0.45 + 0.25 * mood * (0.5 - step**2))) for step in steps]
    pen.line(mouth, fill="black", width=3)
    return picture


pictures = folder / "pictures"
pictures.mkdir()
for number in range(2500):
    face().save(pictures / f"{number:04}.png")

train = data.folder(pictures, size=32, batch_size=50)
held_out = data.read_folder(pictures, size=32, split="test").images.astype("float32") / 255
model = VAE(
    image_shape=(32, 32, 3),
    latent_dim=12,
    encoder={"name": "mlp", "hidden": [256]},
    decoder={"name": "mlp", "hidden": [256]},
    likelihood={"name": "gaussian", "scale": "global"},
)
model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
model.fit(train, epochs=30, verbose=0)
again = model.reconstruct(held_out)
explained = 1 - ((again - held_out) ** 2).sum() / ((held_out - held_out.mean(0)) ** 2).sum()
print(
    f"{len(held_out)} held-out faces: {explained:.0%} of their variance explained; "
    f"{evaluation.active_units(model, held_out)['value']} dimensions in use"
)
plots.reconstructions(held_out[:12], again[:12])

# %%
plots.grid(model.sample(24, seed=0), columns=12)

# %% [markdown]
# ## Out of TensorFlow
#
# `export` writes encoder and decoder as ONNX files with a manifest, opens them in each runtime that is installed, and keeps them only if their
# outputs are Keras's. What reads them needs neither TensorFlow nor this model's code:

# %%
bundle = export.export(model, folder / "faces", formats=("onnx",), examples=held_out)
faces = runtimes.open(folder / "faces", "onnxruntime")
codes = rng.normal(size=(4, 12)).astype("float32")
elsewhere = faces.decode(codes)
difference = np.abs(elsewhere - model.decode(codes)).max()
size = sum(path.stat().st_size for path in (folder / "faces").rglob("*.onnx"))
print(f"{size / 1e6:.1f} MB of ONNX; greatest difference of a pixel {difference:.1e}")

# %% [markdown]
# ## In the browser
#
# One command puts the same folder behind a page with a slider for each dimension, the most informative first, samples, and a path between two
# pictures; with `--output` it writes a static site for any web server.
#
# ```sh
# keras-vae demo faces/                       # serves it to this machine, and opens it
# keras-vae demo faces/ --output my-site/     # only writes it
# ```
#
# The page computes in the reader's browser: [how it works](../../export/web/README.md), and [what else can be exported](../use/deploy.md).
#
# ## Exercises
#
# 1. A filled table looks complete. What is wrong with computing a column's variance from it?
# 2. The faces came with their size of 64. Why were they read at 32, and what would you change for 64?
#
# <details><summary>Answers</summary>
#
# 1. The holes hold means, which vary less than the data: the variance is too small. Compute it of each of the draws above, and look at all the
#    answers: [multiple imputation](../use/imputation.md).
# 2. To train in a minute. For 64: `size=64`, `image_shape=(64, 64, 3)`, and `"conv"` networks, whose filters do not grow with
#    the area, though the dense layer behind them does.
#
# </details>

# %%
assert of_means > 0.9 and error < 0.6 * of_means, "the rest of a row knows what was in its hole"
assert 0.8 < held[-1] < 0.97, "and draws say how well"
assert explained > 0.5, "faces that it never saw"
assert difference < 1e-4, "the decoder outside of TensorFlow is the same decoder"
