# Node and Python in one image: supervisord is PID 1 and runs the orchestrator and the sidecar side by side.

FROM node:22-bookworm-slim AS node
WORKDIR /app/baileys-server
COPY baileys-server/package.json baileys-server/package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM python:3.12-slim-bookworm AS python
COPY requirements.lock ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock

FROM python:3.12-slim-bookworm
# PostgreSQL wants an account with a name; so the user has one.
RUN useradd --create-home --uid 10001 orchestrator && install -d -o orchestrator -g orchestrator -m 0711 /data
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=python /venv /venv
WORKDIR /app
COPY --from=node /app/baileys-server/node_modules baileys-server/node_modules
COPY . .
ENV PATH=/venv/bin:$PATH DATA_DIR=/data PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER orchestrator
EXPOSE 8080
# Starting takes a few seconds; PORT is the host's choice.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT') or 8080}/healthz\", timeout=4)"]
CMD ["python", "-m", "orchestrator", "up"]
