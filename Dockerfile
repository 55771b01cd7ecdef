# One image for all functions and all actions: which one runs is said by `--source` and AKESO_ACTION, what it may do by its
# ServiceAccount alone. Build for what your nodes are: docker buildx build --platform linux/amd64,linux/arm64 .
ARG PYTHON=python:3.11-slim

FROM ${PYTHON} AS build
WORKDIR /build
COPY locks locks
# The environment gets no pip: it is filled from outside.
RUN python -m venv --without-pip /opt/akeso \
 && python -m pip --python /opt/akeso/bin/python install --no-cache-dir --disable-pip-version-check \
      --only-binary :all: --require-hashes -r locks/runtime.txt
# What builds the package is locked, too, and stays in this stage.
RUN awk '/^setuptools==/ {p = 1} p {print} p && !/\\$/ {exit}' locks/dev.txt > locks/build.txt \
 && python -m pip install --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes -r locks/build.txt
COPY pyproject.toml README.md ./
COPY shared shared
COPY functions functions
COPY knative knative
# Into a folder of its own, so that `--source functions/guard/main.py` is the same line here and in a checkout.
RUN python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --no-compile --target /app .
# A cold start without byte code takes three to four times as long, and the file system will be read-only.
RUN /opt/akeso/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/akeso/lib /app

FROM ${PYTHON}
RUN python -m pip uninstall --yes --quiet --root-user-action ignore setuptools wheel pip
COPY --from=build /opt/akeso /opt/akeso
COPY --from=build /app /app
ENV PATH=/opt/akeso/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["functions-framework"]
