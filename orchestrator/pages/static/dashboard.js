// The dashboard, kept as it is at the service: its own address tells what has changed. Everything works without this file.
const language = document.documentElement.lang
// The page's language as the person writes it: British times on an English page of a Briton.
const locale = navigator.languages.find(one => one.slice(0, 2) === language.slice(0, 2)) ?? language

function dress(root) {
  for (const time of root.querySelectorAll('time')) {
    const at = new Date(time.dateTime)
    time.title = time.dateTime
    time.textContent = at.toLocaleString(locale, { dateStyle: 'short', timeStyle: 'medium' })
  }
  for (const code of root.querySelectorAll('[data-copy]')) {
    if (code.nextElementSibling || !navigator.clipboard) continue
    const button = document.createElement('button')
    button.type = 'button'
    button.className = 'plain small'
    button.textContent = code.dataset.copy
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(code.textContent)
      button.textContent = '✓'
    })
    code.after(button)
  }
  tick()
}

function tick() {
  for (const clock of document.querySelectorAll('[data-until]')) {
    const left = Math.max(0, Math.ceil((new Date(clock.dataset.until) - Date.now()) / 1000))
    clock.textContent = clock.dataset.text.replace('{seconds}', String(left))
  }
}

// A part that somebody types or is pressing something in stays until they are done: its news wait.
let pressed = null
let waiting = {}
function isBusy(part) {
  const focused = document.activeElement
  return part.contains(pressed) || (part.contains(focused) && focused.matches('input, select, textarea'))
}

function catchUp() {
  const late = waiting
  waiting = {}
  swap(late)
}
addEventListener('pointerdown', event => { pressed = event.target }, true)
for (const end of ['pointerup', 'pointercancel']) {
  addEventListener(end, () => setTimeout(() => { // after the click that it may be
    pressed = null
    catchUp()
  }), true)
}
addEventListener('focusout', () => setTimeout(catchUp), true) // when the focus has moved

function swap(parts) {
  for (const [id, html] of Object.entries(parts)) {
    const part = document.getElementById(id)
    if (!part) continue
    if (isBusy(part)) {
      waiting[id] = html
      continue
    }
    delete waiting[id]
    const focused = part.contains(document.activeElement) ? document.activeElement.id : ''
    part.outerHTML = html
    const fresh = document.getElementById(id)
    if (!fresh) continue
    window.htmx?.process(fresh)
    dress(fresh)
    if (focused) document.getElementById(focused)?.focus()
  }
}

let stream
function listen() {
  stream?.close()
  waiting = {} // of what the page showed before
  stream = new EventSource(document.body.dataset.live)
  const offline = document.querySelector('#offline')
  stream.onopen = () => { offline.hidden = true }
  stream.onmessage = event => swap(JSON.parse(event.data))
  stream.addEventListener('gone', () => { stream.close(); location.reload() })
  stream.onerror = () => {
    offline.hidden = false
    if (stream.readyState === EventSource.CLOSED) setTimeout(listenAgain, 2000)
  }
}

// A stream that was refused isn't asked for again by the browser: the log-in may be over, or the service just starting.
async function listenAgain() {
  try {
    const answer = await fetch(document.body.dataset.live, { method: 'HEAD', redirect: 'manual' })
    if (answer.type === 'opaqueredirect') return location.reload()
  } catch {
    // away
  }
  listen()
}

// What the page shows is asked for anew: its stream still tells of what was asked before.
document.addEventListener('htmx:beforeRequest', () => stream?.close())
document.addEventListener('htmx:afterRequest', () => {
  document.body.dataset.live = location.pathname + location.search
  dress(document)
  listen()
})
addEventListener('pagehide', () => stream?.close())
addEventListener('pageshow', event => { if (event.persisted) listen() })

dress(document)
setInterval(tick, 500)
if (document.querySelector('[id^="live-"]')) listen()
