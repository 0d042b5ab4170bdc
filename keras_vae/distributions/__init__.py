"""Distributions that TensorFlow Probability lacks: ladders of levels, flows, and quantisers."""
