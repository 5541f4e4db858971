import { performance } from 'node:perf_hooks'
import process from 'node:process'

/** Over less, one long turn of the event loop looks like a busy process. */
const SHORTEST_MS = 1000

/**
 * What the operating system and the event loop say of this process, at the moment of the question: nothing is measured
 * meanwhile.
 */
export function processFigures() {
  let before = performance.eventLoopUtilization()
  let since = performance.now()
  let utilization = 0
  return () => {
    if (performance.now() - since >= SHORTEST_MS) {
      const now = performance.eventLoopUtilization()
      utilization = performance.eventLoopUtilization(now, before).utilization
      before = now
      since = performance.now()
    }
    const { user, system } = process.cpuUsage()
    return {
      resident_bytes: process.memoryUsage.rss(),
      cpu_seconds: (user + system) / 1e6,
      event_loop_utilization: Math.round(utilization * 1000) / 1000
    }
  }
}
