import { BlockList, isIP, isIPv4 } from 'node:net'

/**
 * Which addresses may be connected to because a user named them: the same rules as the orchestrator's (domain/outbound.py).
 * Public ones, and what the operator allows.
 */

/** @typedef {[address: string, prefix: number]} Network */

/** Private, local, reserved, or leading there; a cloud's metadata among them. @type {Network[]} */
const FORBIDDEN = [
  ['0.0.0.0', 8], ['10.0.0.0', 8], ['100.64.0.0', 10], ['127.0.0.0', 8], ['168.63.129.16', 32], ['169.254.0.0', 16], ['172.16.0.0', 12],
  ['192.0.0.0', 24], ['192.0.2.0', 24], ['192.88.99.0', 24], ['192.168.0.0', 16], ['198.18.0.0', 15], ['198.51.100.0', 24], ['203.0.113.0', 24],
  ['224.0.0.0', 3], ['::', 128], ['::1', 128], ['64:ff9b:1::', 48], ['100::', 64], ['2001::', 23], ['2001:db8::', 32], ['2002::', 16], ['3fff::', 20],
  ['fc00::', 7], ['fe80::', 10], ['fec0::', 10], ['ff00::', 8]
]
/** IPv6 addresses, as URLs write them, that lead to the IPv4 address in their last 32 bits: mapped, compatible, NAT64. */
const ENDS_IN_IPV4 = /^(?:::ffff|64:ff9b:|:):([0-9a-f]{1,4}):([0-9a-f]{1,4})$/

export class AddressRules {
  #forbidden = listOf(FORBIDDEN)
  #allowed

  /** @param {readonly Network[]} allowed */
  constructor(allowed) {
    this.#allowed = listOf(allowed)
  }

  /** @param {string} address */
  permits(address) {
    const effective = inIPv4(address)
    const family = isIPv4(effective) ? 'ipv4' : 'ipv6'
    return isIP(effective) !== 0 && (this.#allowed.check(effective, family) || !this.#forbidden.check(effective, family))
  }
}

/**
 * @param {string} text `10.0.0.0/8`, `fd00::/8` or a single address
 * @returns {Network | null}
 */
export function parsedNetwork(text) {
  const [address, length] = text.split('/')
  const longest = { 0: 0, 4: 32, 6: 128 }[isIP(address)] ?? 0
  const prefix = length === undefined ? longest : /^\d{1,3}$/.test(length) ? Number(length) : NaN
  return longest > 0 && prefix <= longest ? [address, prefix] : null
}

/** @param {readonly Network[]} networks */
function listOf(networks) {
  const list = new BlockList()
  for (const [address, prefix] of networks) list.addSubnet(address, prefix, isIPv4(address) ? 'ipv4' : 'ipv6')
  return list
}

/** The IPv4 address that an IPv6 one stands for, or the address itself. @param {string} address */
function inIPv4(address) {
  if (isIP(address) !== 6) return address
  const [unscoped] = address.split('%')
  const found = ENDS_IN_IPV4.exec(new URL(`http://[${unscoped}]/`).hostname.slice(1, -1))
  if (!found) return unscoped
  const [high, low] = found.slice(1).map(part => parseInt(part, 16))
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}
