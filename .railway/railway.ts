// The project on Railway as code: `railway config plan` shows what it would change, `railway config apply` does it.
// The files of the time before (railway.json, railway.toml) are no longer read. docs/deploy.md has the way in ten minutes.
import { defineRailway, postgres, preserve, project, service } from 'railway/iac'

export default defineRailway(() => {
  const database = postgres('Postgres')

  const orchestrator = service('baileys-orchestrator', {
    build: { builder: 'DOCKERFILE', dockerfilePath: 'Dockerfile' },
    healthcheck: '/readyz',
    healthcheckTimeout: 300,
    deploy: {
      // Never two owners of one account: the old container stops as soon as the new one is healthy, and has the time that
      // closing sockets and writing the last keys takes. Railway's own default is to kill it at once.
      overlapSeconds: 0,
      drainingSeconds: 60,
      // Also after an exit code of 0: supervisord gives that after a signal. The free plan doesn't have it.
      restartPolicyType: 'ALWAYS'
    },
    env: {
      DATABASE_URL: database.env.DATABASE_URL,
      // Set once, in the dashboard or with `railway variable set`; they are nobody's business here.
      BOT_TOKEN: preserve(),
      ADMIN_CHAT_ID: preserve(),
      MERCADOPAGO_ACCESS_TOKEN: preserve(),
      SESSION_ENCRYPTION_KEYS: preserve()
    }
  })

  return project('baileys-orchestrator', { resources: [database, orchestrator] })
})
