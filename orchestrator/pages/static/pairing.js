// The pairing page, kept as it is at the service: asks again and again what is true now, and draws the clock.
const page = document.querySelector('#pairing')
const { state: stateUrl, expires } = page.dataset
const $ = name => page.querySelector(`[data-part="${name}"]`)
const RING = 2 * Math.PI * 18
let shown = JSON.parse(document.querySelector('#state').textContent)
let receivedAt = performance.now()

function show() {
  for (const phase of page.querySelectorAll('[data-phase]')) phase.hidden = phase.dataset.phase !== shown.phase
  const scanning = shown.phase === 'scan'
  $('steps-qr').hidden = !scanning || Boolean(shown.code)
  $('steps-code').hidden = !scanning || !shown.code
  $('use-code').hidden = !scanning || Boolean(shown.code)
  if (scanning) {
    const image = $('qr')
    image.hidden = !shown.qr || Boolean(shown.code)
    if (shown.qr && image.getAttribute('src') !== shown.qr) image.src = shown.qr
    $('scan-title').hidden = Boolean(shown.code)
    $('code-part').hidden = !shown.code
    $('soon').hidden = Boolean(shown.code)
    $('code').textContent = shown.code ?? ''
    $('notice').textContent = shown.notice ?? ''
  }
  if (shown.phase === 'failed') {
    $('happened').textContent = shown.happened
    $('advice').textContent = shown.advice
  }
  tick()
}

function tick() {
  const life = shown.lifeMs
  $('clock').hidden = shown.phase !== 'scan' || !life
  if (!life) return
  const left = Math.max(0, shown.remainingMs - (performance.now() - receivedAt))
  $('seconds').textContent = expires.replace('{seconds}', String(Math.ceil(left / 1000)))
  const ring = $('ring')
  ring.setAttribute('stroke-dasharray', String(RING))
  ring.setAttribute('stroke-dashoffset', String(RING * (1 - left / life)))
}

async function watch() {
  let waitMs = 1000
  let seen = shown.version
  for (;;) {
    try {
      const answer = await fetch(`${stateUrl}&seen=${encodeURIComponent(seen)}`, { cache: 'no-store' })
      if (answer.status === 404) return location.reload()
      if (!answer.ok) throw new Error(String(answer.status))
      shown = await answer.json()
      receivedAt = performance.now()
      $('offline').hidden = true
      waitMs = 1000
      seen = shown.version
      show()
      if (shown.phase === 'linked') return
    } catch {
      $('offline').hidden = false
      seen = '' // the next answer comes at once, and says that the service is back
      await new Promise(resolve => setTimeout(resolve, waitMs))
      waitMs = Math.min(waitMs * 2, 5000)
    }
  }
}

$('code-form').addEventListener('submit', async event => {
  event.preventDefault()
  const form = event.currentTarget
  const button = form.querySelector('button')
  const error = $('code-error')
  button.disabled = true
  error.textContent = ''
  try {
    const answer = await fetch(form.action, { method: 'POST', body: new URLSearchParams(new FormData(form)), headers: { accept: 'application/json' } })
    if (!answer.ok) error.textContent = (await answer.json()).message
  } catch {
    $('offline').hidden = false
  } finally {
    button.disabled = false
  }
})

const until = document.querySelector('[data-until]')
const localTime = new Date(until.dataset.until).toLocaleString(document.documentElement.lang, { dateStyle: 'medium', timeStyle: 'short' })
until.textContent = until.dataset.text.replace('{time}', localTime)
show()
setInterval(tick, 250)
watch()
