# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 3. Gradients through a draw
#
# The ELBO is an expectation over codes that are **drawn**, and the encoder is trained by its gradient. Two estimators of
# $\nabla_\mu\, \mathbb{E}_{z \sim \mathcal{N}(\mu, \sigma^2 I)}[f(z)]$ are unbiased:
#
# * the **score function** (REINFORCE): $f(z)\, \nabla_\mu \log q(z) = f(z)\, (z - \mu) / \sigma^2$, which needs values of $f$ only;
# * **reparameterisation**: $z = \mu + \sigma \varepsilon$ with $\varepsilon \sim \mathcal{N}(0, I)$, and $\nabla_z f(z)$ at the draw, which needs
#   the derivative of $f$.
#
# Both give the right gradient on average. One of them is useless for a VAE, and this lesson measures which, and why.
#
# ## Where the answer is known
#
# Take $f(z) = -\tfrac{1}{2} |z|^2$ in $d$ dimensions, at $\mu = 0$, $\sigma = 1$. Every component of the true gradient is 0. The variance of
# a component is 1 by reparameterisation; by the score function it is
#
# $$\frac{(d + 2)(d + 4)}{4}, \qquad \text{and} \quad \frac{d + 4}{2} \quad \text{with the usual baseline, } f - \mathbb{E}[f].$$
#
# (The best constant is not $\mathbb{E}[f] = -d/2$ but $-(d + 2)/2$, which leaves $(d + 2)/2$: hardly less.)

# %%
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import keras_vae

rng = np.random.default_rng(0)
dimensions, rows = np.array([1, 2, 5, 10, 20, 50]), []
for d in dimensions:
    z = rng.normal(size=(200_000, d))
    f = -0.5 * (z**2).sum(1, keepdims=True)
    rows.append([(-z).var(0).mean(), (f * z).var(0).mean(), ((f + d / 2) * z).var(0).mean()])
path, score, baseline = np.array(rows).T
closed_score, closed_baseline = (dimensions + 2) * (dimensions + 4) / 4, (dimensions + 4) / 2

figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
axes.loglog(dimensions, score, "o", color="tab:red", label="score function")
axes.loglog(dimensions, closed_score, "-", color="tab:red", alpha=0.5)
axes.loglog(dimensions, baseline, "s", color="tab:orange", label="score function with a baseline")
axes.loglog(dimensions, closed_baseline, "-", color="tab:orange", alpha=0.5)
axes.loglog(dimensions, path, "^", color="tab:blue", label="reparameterisation")
axes.axhline(1, color="tab:blue", alpha=0.5)
axes.set(
    xlabel="dimensions of the code",
    ylabel="variance of a component",
    title="Measured (points) and in closed form (lines)",
)
axes.legend()
plt.show()

# %% [markdown]
# The score function's variance grows with the square of the dimension: it learns from one number, $f(z)$, which all
# dimensions share, and each hears the noise of all the others. Reparameterisation asks the derivative, which tells each
# dimension about itself.
#
# ## In a real VAE
#
# The same for a trained model of the zoo: the gradient of $\mathbb{E}_q[\log p(x \mid z)]$ by the mean of the code of one digit.

# %%
model = keras_vae.zoo.load("vae_mnist")
x = keras_vae.data.load_arrays("mnist", "test", binarize="static")[:1]
q = model.posterior(x)
mean, std = (np.repeat(np.asarray(value), 4000, 0) for value in (q.mean(), q.stddev()))
z = tf.constant((mean + std * rng.normal(size=mean.shape)).astype("float32"))
pixels = tf.constant(np.repeat(x, 4000, 0))
with tf.GradientTape() as tape:
    tape.watch(z)
    log_px = model.likelihood(z).log_prob(pixels)
by_path = tape.gradient(log_px, z).numpy()
f = log_px.numpy()[:, None]
by_score = f * (z.numpy() - mean) / std**2
by_baseline = (f - f.mean()) * (z.numpy() - mean) / std**2

used = std[0] < 0.9  # dimensions that the model uses
spread = {
    "reparameterisation": by_path[:, used].var(0).mean(),
    "with a baseline": by_baseline[:, used].var(0).mean(),
    "score function": by_score[:, used].var(0).mean(),
}
for name, value in spread.items():
    print(
        f"{name:20} variance {value:12,.1f}   draws for the error of one reparameterised draw: {value / spread['reparameterisation']:,.0f}"
    )

figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
axes.barh(list(spread), list(spread.values()), color=["tab:blue", "tab:orange", "tab:red"])
axes.set(xscale="log", xlabel="variance of a component, averaged over the used dimensions")
plt.show()

# %% [markdown]
# This is why every VAE here takes one draw for each example and still trains; and why models whose codes are integers, which
# have no derivative, use other ways: a VQ-VAE copies the gradient past the rounding (straight-through), which is biased.
#
# ## Exercises
#
# 1. Both estimators are unbiased. How do you check that with the arrays above?
# 2. When would you use the score function all the same?
#
# <details><summary>Answers</summary>
#
# 1. Compare their means within their standard errors, as the last cell does. Only the variance differs.
# 2. When $f$ has no derivative in $z$, or $z$ is discrete: then a baseline, several draws or a relaxation are worth their
#    trouble.
#
# </details>

# %%
assert np.allclose(score, closed_score, rtol=0.15) and np.allclose(baseline, closed_baseline, rtol=0.1)
assert np.allclose(path, 1, rtol=0.05), "one, in any dimension"
difference = by_baseline.mean(0) - by_path.mean(0)
error = np.sqrt((by_baseline.var(0) + by_path.var(0)) / len(by_path))
assert (np.abs(difference) < 5 * error).all(), "both have the same mean"
assert spread["score function"] > 100 * spread["reparameterisation"], "and not the same variance"
