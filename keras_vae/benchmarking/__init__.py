"""A fair benchmark over the runtimes of an exported bundle; `keras_vae.runtimes.benchmark` and its like begin it.

A module a step: `rows` to be timed, `rounds` that time them, each in a `worker`; `comparing`, `tables` and `picture` of
what came out, and the `machine` that it came out on. Nothing here imports TensorFlow, but for a worker that runs it.
"""
