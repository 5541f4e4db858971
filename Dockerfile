# Node and Python in one image: supervisord is PID 1 and runs the orchestrator and the sidecar side by side.
# `make image-check` runs these very steps without Docker and starts what comes out.

# One base for all stages, pinned by digest: Node 20 on Debian 12, whose own Python is 3.11.
FROM node:20.20.2-bookworm-slim@sha256:2cf067cfed83d5ea958367df9f966191a942351a2df77d6f0193e162b5febfc0 AS base

FROM base AS sidecar
WORKDIR /app/baileys-server
COPY baileys-server/.npmrc baileys-server/package.json baileys-server/package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier

FROM base AS packages
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv
COPY requirements.lock ./
# Exact versions with hashes, and no resolver. pip itself stays behind.
RUN python3 -m venv /venv && /venv/bin/pip install --no-cache-dir --no-compile --require-hashes --no-deps -r requirements.lock && /venv/bin/pip uninstall -y pip setuptools

FROM base
RUN apt-get update && apt-get install -y --no-install-recommends python3 ca-certificates && rm -rf /var/lib/apt/lists/* /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /opt/yarn*
# PostgreSQL wants an account with a name; so the user has one.
RUN useradd --create-home --uid 10001 orchestrator && install -d -o orchestrator -g orchestrator -m 0711 /data
COPY --from=packages /venv /venv
WORKDIR /app
COPY --from=sidecar /app/baileys-server/node_modules baileys-server/node_modules
COPY baileys-server/package.json baileys-server/package.json
COPY baileys-server/src baileys-server/src
COPY alembic.ini pyproject.toml requirements.lock LICENSE ./
COPY alembic alembic
COPY orchestrator orchestrator
ENV PATH=/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin DATA_DIR=/data PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN python -m compileall -q orchestrator /venv/lib
USER orchestrator
EXPOSE 8080
# Starting takes a few seconds; PORT is the host's choice. Not /readyz: a database that is away is no reason for a restart.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT') or 8080}/healthz\", timeout=4)"]
# The exec form: the launcher becomes supervisord, which so gets the host's SIGTERM.
STOPSIGNAL SIGTERM
CMD ["python", "-m", "orchestrator", "up"]
