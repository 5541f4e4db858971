import { performance } from 'node:perf_hooks'
import process from 'node:process'

/**
 * What the operating system and the event loop say of this process, at the moment of the question: nothing is measured
 * meanwhile.
 */
export function processFigures() {
  let before = performance.eventLoopUtilization()
  return () => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, before)
    before = now
    const { user, system } = process.cpuUsage()
    return {
      resident_bytes: process.memoryUsage.rss(),
      cpu_seconds: (user + system) / 1e6,
      event_loop_utilization: Math.round(utilization * 1000) / 1000
    }
  }
}
