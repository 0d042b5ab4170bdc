# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 5. Discrete codes, and a prior over them
#
# A VQ-VAE has no Gaussian. Its encoder gives 16 vectors, and each becomes the nearest of 64 **entries** of a codebook: the code is
# 16 integers. Rounding has no derivative, so the decoder's gradient is copied past it (straight-through).
#
# Two things go wrong with such codes, and both can be measured.
#
# ## Entries that die
#
# An entry that no vector chooses is moved by nothing, and waits until the encoder's vectors come its way, if ever they do. The
# **perplexity** says how many are in use, as if equally often: $\exp(-\sum_k f_k \log f_k)$ for the share $f_k$ of each entry. Two ways to learn a codebook: by
# gradients, or as moving averages of the vectors that chose each entry, with a restart of those that hardly any does.

# %%
import matplotlib.pyplot as plt
import numpy as np

from keras_vae import data, plots, priors
from keras_vae.models import VQVAE

train = data.load("mnist", "train[:15000]", binarize="dynamic", batch_size=100)
digits = data.load_arrays("mnist", "train[:15000]", binarize="static")
test = data.load_arrays("mnist", "test[:2000]", binarize="static")


def trained(codebook):
    """A VQ-VAE after five epochs, and its perplexity by epoch."""
    networks = {"encoder": {"name": "mlp", "hidden": [256]}, "decoder": {"name": "mlp", "hidden": [256]}}
    model = VQVAE(code_shape=(16,), entries=64, embedding_dim=8, codebook=codebook, **networks)
    model.compile("adam", jit_compile=False)
    return model, model.fit(train, epochs=5, verbose=0).history["perplexity"]


(by_averages, averages), (by_gradient, gradient) = trained("ema"), trained("gradient")

figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
axes.plot(range(1, 6), averages, "o-", label="moving averages and restarts")
axes.plot(range(1, 6), gradient, "o-", label="gradients")
axes.axhline(64, color="grey", linestyle="--", label="all entries, equally")
axes.set(xlabel="epoch", ylabel="perplexity", ylim=(0, 68))
axes.legend()
plt.show()

# %% [markdown]
# ## Codes that nothing draws
#
# A Gaussian VAE is trained so that codes of the prior decode to pictures. Here nothing was said about which integers go
# together: until a prior is fitted, all codes are equally likely, and draws mix parts of different digits. The KL is a constant, $16 \log 64$.
#
# A prior over codes is a model of its own, fitted to the codes of the training set when the first is finished: here an
# autoregressive one, each integer given those before.

# %%
prior = priors.AutoregressivePrior(filters=24, blocks=4, kernel_size=5, epochs=4).fit(by_averages, digits)
uniform, fitted = by_averages.elbo(test).mean(), by_averages.elbo(test, prior=prior).mean()
print(f"ELBO with the uniform prior {uniform:.1f}, with the fitted one {fitted:.1f}; 16 log 64 = {16 * np.log(64):.1f}")

# %%
rows = np.concatenate([by_averages.sample(12, seed=0), by_averages.sample(12, seed=0, prior=prior), test[:12]])
plots.grid(rows, columns=12)

# %% [markdown]
# First row: draws with the uniform prior. Second: with the fitted one, after a short training. Third: real digits. The decoder is the same in both; all that
# changed is which codes it is asked for. The ELBO says the same in nats: a code costs fewer when the likely ones are known.
#
# ## Exercises
#
# 1. Why does the fitted prior change the ELBO, and not the reconstructions?
# 2. Is the ELBO of a VQ-VAE a bound on $\log p(x)$, as a Gaussian's is?
#
# <details><summary>Answers</summary>
#
# 1. The ELBO is $\log p(x \mid z) + \log p(z)$ at the one code $z$ of $x$. Reconstructions have the first term only.
# 2. Yes: $p(x) = \sum_z p(x \mid z)\, p(z) \ge p(x \mid z)\, p(z)$ for the one $z$ that the encoder chooses. No draw is needed.
#
# </details>

# %%
assert averages[-1] > 50 > 1.15 * gradient[-1], "moving averages keep the entries alive"
assert fitted > uniform + 10, "a prior over codes is worth more than ten nats"
assert fitted - uniform < 16 * np.log(64), "and cannot be worth more than the code costs"
