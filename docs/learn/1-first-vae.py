# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 1. A first VAE in ten lines
#
# A variational autoencoder is two networks. The **encoder** takes a picture $x$ and gives a distribution of codes,
# $q(z \mid x)$, here a Gaussian with a mean and a variance for each of 20 dimensions. The **decoder** takes a code $z$ and
# gives a distribution of pictures, $p(x \mid z)$: for black and white digits, the probability of white of each pixel. Codes
# come from a fixed **prior**, $p(z) = \mathcal{N}(0, I)$.
#
# What is trained is one number for each picture, the **ELBO**, in nats:
#
# $$\mathrm{ELBO}(x) = \mathbb{E}_{q(z \mid x)}[\log p(x \mid z)] - \mathrm{KL}(q(z \mid x) \,\|\, p(z)) \le \log p(x)$$
#
# The first term asks that codes say what the picture was, the second that they stay near the prior, so that codes drawn from
# the prior decode to pictures. [The next lesson](2-elbo.py) derives it.

# %%
import matplotlib.pyplot as plt
import numpy as np

from keras_vae import data, plots
from keras_vae.models import VAE

train = data.load("mnist", "train", binarize="dynamic")  # bundled; pixels are drawn anew in each epoch
test = data.load_arrays("mnist", "test", binarize="static")

model = VAE(
    latent_dim=20,
    encoder={"name": "mlp", "hidden": [200]},
    decoder={"name": "mlp", "hidden": [200]},
    likelihood="bernoulli",
)
model.compile("adam")
history = model.fit(train, epochs=5, verbose=0).history
print("ELBO of the training digits, epoch by epoch:", np.round(history["elbo"], 1))

# %% [markdown]
# `fit` logs both terms. They are means over the epoch, so `loss` is exactly `kl - log_px` as long as `beta` is 1.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
left.plot(range(1, 6), history["log_px"], "o-")
left.set(title="log p(x|z): what codes say of the picture", xlabel="epoch", ylabel="nats")
right.plot(range(1, 6), history["kl"], "o-", color="tab:red")
right.set(title="KL: what codes cost", xlabel="epoch", ylabel="nats")
plt.show()

# %% [markdown]
# The KL **rises** while the model learns. It is what the code costs, in nats (one is 1.44 bits): at least the information
# that the code has about the picture, and a model that learns to use its code pays more. A falling KL is no sign of progress.
#
# ## What it can do
#
# Above, test digits; below, their reconstructions. Then digits decoded from codes that were drawn from the prior.

# %%
shown = test[:12]
plots.reconstructions(shown, model.reconstruct(shown))

# %%
plots.grid(model.sample(24, seed=0), columns=12)

# %% [markdown]
# ## The number
#
# On digits that the model never saw, with one draw of $z$ for each.

# %%
elbo = model.elbo(test, seed=0)
error = elbo.std() / len(elbo) ** 0.5
print(f"ELBO {elbo.mean():.1f} ± {error:.1f} nats a digit, {-elbo.mean() / 784 / np.log(2):.3f} bits a pixel")

# %% [markdown]
# A code of independent pixels, each with its own frequency of white, is the least that a model should beat:

# %%
frequency = np.clip(data.load_arrays("mnist", "train", binarize="static").mean(0), 1e-3, 1 - 1e-3)
independent = (test * np.log(frequency) + (1 - test) * np.log(1 - frequency)).sum((1, 2, 3)).mean()
print(f"independent pixels: {independent:.1f} nats a digit")

# %% [markdown]
# ## Exercises
#
# 1. Why must pixels be 0 or 1 here, rather than grey?
# 2. The reconstructions are softer than the digits. Is the decoder bad?
#
# <details><summary>Answers</summary>
#
# 1. `likelihood="bernoulli"` is a distribution over 0 and 1. On grey levels its cross-entropy is no likelihood: it does not
#    integrate to one, and cannot be compared between models. For grey levels there are `"continuous_bernoulli"`,
#    `"logistic_mixture"` and others; a Bernoulli refuses them.
# 2. They are means: a pixel that is white in half of the pictures of a code is shown grey. A draw of the pixels is as
#    black and white as the data, and less pleasant to look at. The mean is what has the least squared error.
#
# </details>

# %%
assert independent < -200, "pixels that know nothing of each other"
assert -115 < elbo.mean() < -95, "the ELBO that this lesson teaches"
assert history["kl"][-1] > history["kl"][0], "the KL rises while the code is learned"
