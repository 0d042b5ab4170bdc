# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 4. Rate, distortion and collapse
#
# The ELBO is a sum of two costs. The **rate**, the KL, is what the code costs, in nats: an upper bound on what it
# says of $x$. The **distortion**,
# $-\log p(x \mid z)$, is what the decoder must still guess. A message of $x$ by way of $z$ is as long as their sum, $-\mathrm{ELBO}$. Models
# with the same sum may divide it in any way, and the ELBO does not mind which: even all distortion and no rate. That is
# **posterior collapse**: $q(z \mid x) = p(z)$ for every $x$, and the code is noise.
#
# It comes where the decoder can do without a code. Here: English words, letter by letter, with a decoder that sees the letters
# before. The weight $\beta$ of the KL, and what is said to help, are tried with the same networks. One remedy is no option of the
# model: a **capacity**, $|\mathrm{KL} - C|$ in place of the KL. `AnnealedVAE` has it for pictures; for words it is the objective written anew.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from keras_vae import data
from keras_vae.models import SequenceVAE

train = data.load("words", "train[:7500]", batch_size=100)
words = data.load_arrays("words", "validation[:1000]")
held_out = data.batches(words, training=False, batch_size=500)


class WithCapacity(SequenceVAE):
    """Equation 8 of Burgess et al. 2018 for words: the mean KL of the batch is drawn to 8 nats, from both sides."""

    def objective(self, terms):
        return ops.mean(-terms.log_px) + 5 * ops.abs(ops.mean(ops.sum(terms.kl, axis=-1)) - 8.0)


def trained(variant=SequenceVAE, latent_dim=16, **options):
    """A model after 300 steps, its rate and distortion on held-out words, and its KL by epoch."""
    gru = {"name": "gru", "units": 40, "embedding_dim": 12}
    model = variant(16, 27, latent_dim=latent_dim, encoder=gru, decoder=gru, **options)
    model.compile(keras.optimizers.Adam(5e-3), jit_compile=False)
    history = model.fit(train, epochs=4, verbose=0).history
    numbers = model.evaluate(held_out, verbose=0, return_dict=True)
    return model, numbers["kl"], -numbers["log_px"], history["kl"]


runs = {
    "β = 1": trained(),
    "β = 4": trained(beta=4.0),
    "β = 1, 64 dimensions": trained(latent_dim=64),
    "β rises to 1": trained(beta={"name": "linear", "final": 1.0, "steps": 225}),
    "β = 0.25": trained(beta=0.25),
    "8 nats free": trained(free_bits=8.0, free_bits_on="total"),
    "capacity of 8 nats": trained(WithCapacity),
}
for name, (_, rate, distortion, _) in runs.items():
    print(f"{name:22} rate {rate:5.2f}   distortion {distortion:5.2f}   ELBO {-rate - distortion:6.2f}")

# %%
figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
total = [rate + distortion for _, rate, distortion, _ in runs.values()]
for level in np.arange(np.floor(min(total)), max(total) + 2, 2):
    axes.plot([0, level], [level, 0], color="lightgrey", zorder=0)
for name, (_, rate, distortion, _) in runs.items():
    axes.plot(rate, distortion, "o", label=name)
axes.set(xlim=(-0.5, 18), ylim=(8, 24), xlabel="rate: KL, nats", ylabel="distortion: -log p(x|z), nats")
axes.set_title("Grey: lines of one ELBO")
axes.legend()
plt.show()

# %% [markdown]
# Read from the picture what is often said otherwise:
#
# * **The KL term does not prevent collapse; it is what collapse minimises.** At rate 0 the KL is as small as it can be.
# * **A larger β is no cure.** It asks for less rate. A smaller one asks for more, and `β = 0.25` has it.
# * **A larger latent is no cure.** Sixty-four dimensions are as unused as sixteen.
# * **Collapse is no failure of the bound.** Of these models the collapsed ones have the best ELBO: a code is worth its
#   rate only if it saves more distortion than it costs. Whoever wants a code must ask for one, and pays in ELBO.
# * **Free bits and a capacity ask for one**: below 8 nats the KL is not penalised, and the model takes what is free; a capacity penalises
#   what is below 8 as well. Here its code has the rate and, so far, saves no distortion: nats of KL are what a code *may* say, not
#   what the decoder has learned to hear.
#
# ## The KL in the course of training

# %%
figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
for name in ("β = 1", "β rises to 1", "8 nats free"):
    axes.plot(range(1, 5), runs[name][3], "o-", label=name)
axes.set(xlabel="epoch", ylabel="KL, nats", title="Under annealing the KL comes first, and then goes")
axes.legend()
plt.show()

# %% [markdown]
# While β is small the code is nearly free, and the KL is high; as β rises the KL falls. It is no loss that should go down, nor a
# measure of progress. Annealing gives the code a start; whether it stays depends on whether it pays at the end. Here β had its
# full weight for the last 75 steps.
#
# ## A collapsed VAE is no autoencoder
#
# An autoencoder without its KL would reconstruct. A collapsed VAE cannot: its decoder does not know which word it was.

# %%
codes = {name: runs[name][0].encode(words[:300]) for name in ("β = 1", "8 nats free")}
for name, code in codes.items():
    print(f"{name:12} variance of the mean code over words, summed: {code.var(0).sum():.3f}")
for name in codes:
    again = data.words.to_text(runs[name][0].reconstruct(words[:4]))
    print(f"{name:12}", list(zip(data.words.to_text(words[:4]), again, strict=True)))

# %% [markdown]
# ## Exercises
#
# 1. `free_bits_on="dimension"` with 0.5 nats gives each of 16 dimensions its own allowance. How much rate do you expect?
# 2. Which objective would you take to compress words, and which to find words alike?
#
# <details><summary>Answers</summary>
#
# 1. About 16 · 0.5 = 8 nats, now spread over all dimensions, whether they are useful or not. On the total, a few may take it all.
# 2. To compress, the highest ELBO, even collapsed: the message is the shortest. To find words alike, a code with rate: it costs
#    nats, and is what you came for.
#
# </details>

# %%
rates = {name: rate for name, (_, rate, _, _) in runs.items()}
assert rates["β = 1"] < 1, "collapsed"
assert rates["β = 4"] < 1 and rates["β = 1, 64 dimensions"] < 1, "and neither of these is a cure"
assert min(rates["8 nats free"], rates["capacity of 8 nats"]) > 6 and rates["β = 0.25"] > 2, "these are"
assert rates[max(runs, key=lambda name: -runs[name][1] - runs[name][2])] < 1, "the best ELBO is that of a collapsed one"
assert runs["β rises to 1"][3][0] > 3 * runs["β rises to 1"][3][-1], "under annealing the KL comes first, and goes"
assert codes["8 nats free"].var(0).sum() > 10 * codes["β = 1"].var(0).sum(), "a code that knows its word"
