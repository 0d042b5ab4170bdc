# Not built by the project's tests: no Docker runs where they do. Build it in a checkout:
#   docker build -t keras-vae .
#   docker run --rm -v "$PWD/runs:/home/user/runs" keras-vae train vae_mnist
# For an NVIDIA card: docker build --build-arg EXTRAS=hub,gpu -t keras-vae-gpu . , and docker run --gpus all ...
FROM python:3.11-slim AS build
WORKDIR /source
RUN pip install --no-cache-dir build
COPY . .
RUN python -m build --wheel --outdir /wheels

FROM python:3.11-slim
ARG EXTRAS=hub
COPY --from=build /wheels /wheels
COPY constraints.txt /wheels/
RUN wheel="$(ls /wheels/*.whl)" \
    && pip install --no-cache-dir -c /wheels/constraints.txt "${wheel}[${EXTRAS}]" \
    && rm -r /wheels \
    && useradd --create-home --uid 1000 user
# The weights that do not ride in the wheel; KERAS_VAE_ZOO may point to another folder, or to a URL.
COPY zoo /usr/share/keras_vae/zoo
ENV KERAS_VAE_ZOO=/usr/share/keras_vae/zoo
USER user
WORKDIR /home/user
ENTRYPOINT ["keras-vae"]
CMD ["--help"]
