# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 6. Discrete codes, and a prior over them
#
# A VQ-VAE has no Gaussian. Its encoder gives 16 vectors, and each becomes the nearest of 64 **entries** of a codebook: the code is
# 16 integers. Rounding has no derivative, so the decoder's gradient is copied past it (straight-through).
#
# Two things go wrong with such codes, and both can be measured. So can a thing that goes wrong without them: blur.
#
# ## Entries that die
#
# An entry that no vector chooses is moved by nothing, and waits until the encoder's vectors come its way, if ever they do. The
# **perplexity** says how many are in use, as if equally often: $\exp(-\sum_k f_k \log f_k)$ for the share $f_k$ of each entry. Two ways to learn a codebook: by
# gradients, or as moving averages of the vectors that chose each entry, with a restart of those that hardly any does. Or leave the codebook out: **FSQ** rounds each of
# three numbers to one of four levels, $4^3 = 64$ codes, and there is no entry to move. That is not the same as all being used.

# %%
import matplotlib.pyplot as plt
import numpy as np

from keras_vae import data, plots, priors
from keras_vae.evaluation import power_spectrum, sharpness
from keras_vae.models import FSQVAE, VAE, VQVAE

train = data.load("mnist", "train[:15000]", binarize="dynamic", batch_size=100)
digits = data.load_arrays("mnist", "train[:15000]", binarize="static")
test = data.load_arrays("mnist", "test[:2000]", binarize="static")


def trained(variant, **options):
    """A model after four epochs, and its perplexity by epoch, if it has one."""
    networks = {"encoder": {"name": "mlp", "hidden": [256]}, "decoder": {"name": "mlp", "hidden": [256]}}
    model = variant(**networks, **options)
    model.compile("adam", jit_compile=False)
    return model, model.fit(train, epochs=4, verbose=0).history.get("perplexity")


book = {"code_shape": (16,), "entries": 64, "embedding_dim": 8}
by_averages, averages = trained(VQVAE, codebook="ema", **book)
_, gradient = trained(VQVAE, codebook="gradient", **book)
finite, levels = trained(FSQVAE, code_shape=(16,), levels=(4, 4, 4))

figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
epochs = range(1, 5)
axes.plot(epochs, averages, "o-", label="VQ: moving averages and restarts")
axes.plot(epochs, gradient, "o-", label="VQ: gradients")
axes.plot(epochs, levels, "o-", label="FSQ: no codebook")
axes.axhline(64, color="grey", linestyle="--", label="all entries, equally")
axes.set(xlabel="epoch", ylabel="perplexity", ylim=(0, 68))
axes.legend()
plt.show()
print(f"perplexity: averages {averages[-1]:.0f}, gradients {gradient[-1]:.0f}, FSQ {levels[-1]:.0f} of 64")

# %% [markdown]
# FSQ uses as few codes as if each number took two of its four levels: after so short a training the encoder hardly reaches the outer ones.
# Its paper advises five levels or more for each number, and fewer numbers.
#
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
# ## Blur, measured
#
# "VAEs blur" is three claims in one. A picture's power spectrum tells them apart: **sharpness** is the share of an image's power at high
# frequencies, relative to real digits. A VAE of as many steps, with a code of 20 Gaussians, beside the VQ-VAE.

# %%
gaussian, _ = trained(VAE, latent_dim=20)
z = gaussian.encode(test)
shown = {
    "VAE, reconstructions": gaussian.reconstruct(test),
    "VAE, pixels drawn": np.asarray(gaussian.likelihood(z).sample(seed=1)),
    "VAE, draws of codes": gaussian.sample(2000, seed=0),
    "VQ, reconstructions": by_averages.reconstruct(test),
    "VQ, draws of codes": by_averages.sample(2000, seed=0, prior=prior),
}
sharp = {name: sharpness(pictures, test)["value"] for name, pictures in shown.items()}
for name, value in sharp.items():
    print(f"{name:22} sharpness {value:.2f}")

# %%
figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
axes.semilogy(*power_spectrum(test), "k--", label="real digits")
for name, pictures in shown.items():
    axes.semilogy(*power_spectrum(pictures), label=name)
axes.axvline(0.25, color="lightgrey")
axes.set(xlabel="frequency, cycles a pixel", ylabel="share of power", title="Right of the grey line counts as sharp")
axes.legend(fontsize=8)
plt.show()

# %% [markdown]
# * **A mean is blurred, whatever the code is.** Reconstructions are $\mathbb{E}[x \mid z]$: edges that the code leaves open come out grey. The same
#   decoder's *pixels drawn* are as sharp as data and more, with noise in place of blur: sharper is not better.
# * **What blurs is what the code leaves open**, not that there is a KL: the VQ-VAE's decoder has a mean as well, blurred too, and less so
#   because its code says more.
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
assert averages[-1] > 45 and averages[-1] > 1.1 * gradient[-1], "moving averages keep the entries alive"
assert averages[-1] > levels[-1], "and a rounding without a codebook does not use all its codes by itself"
assert fitted > uniform + 10, "a prior over codes is worth more than ten nats"
assert fitted - uniform < 16 * np.log(64), "and cannot be worth more than the code costs"
assert sharp["VAE, reconstructions"] < 0.9 < sharp["VAE, pixels drawn"], "the mean is blurred, the distribution is not"
assert sharp["VAE, reconstructions"] < sharp["VQ, reconstructions"] < 0.9, (
    "and with another code the mean is blurred too"
)
