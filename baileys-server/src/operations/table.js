import { blocklistOperations } from './blocklist.js'
import { channelOperations } from './channels.js'
import { chatOperations } from './chats.js'
import { contactOperations } from './contacts.js'
import { groupOperations } from './groups.js'
import { labelOperations } from './labels.js'
import { numberOperations } from './numbers.js'
import { presenceOperations } from './presence.js'
import { profileOperations } from './profile.js'

/** Every operation by its name on the wire. @type {Record<string, import('./perform.js').Operation>} */
export const OPERATIONS = {
  ...blocklistOperations,
  ...channelOperations,
  ...chatOperations,
  ...contactOperations,
  ...groupOperations,
  ...labelOperations,
  ...numberOperations,
  ...presenceOperations,
  ...profileOperations
}
