declare module 'libsignal/src/protobufs.js'

declare module 'ws' {
  export const WebSocket: any
  export type WebSocket = any
  export const WebSocketServer: any
  export type WebSocketServer = any
}
