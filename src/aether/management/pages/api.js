// The node that this page came from: requests, the WebSocket, the stream of events; and the token of whoever looks.

const KEY = "aether.token";
const RETRY_MS = [500, 1000, 2000, 4000, 5000];

export const token = () => sessionStorage.getItem(KEY) ?? "";
export function setToken(text) {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

const fields = (more) => (token() ? { ...more, Authorization: `Bearer ${token()}` } : { ...more });
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The answer to a GET: {status, body}; status 0 when the node does not answer. Never throws. */
export async function ask(path) {
  try {
    const response = await fetch(path, { headers: fields({ Accept: "application/json" }), signal: AbortSignal.timeout(10_000) });
    const body = await response.json().catch(() => ({}));
    return { status: response.status, body };
  } catch {
    return { status: 0, body: {} };
  }
}

/** The WebSocket of the dashboard, opened again whenever it ends. onState: "live", "lost" or "stranger". */
export class Socket {
  constructor(path, onMessage, onState) {
    this.path = path;
    this.onMessage = onMessage;
    this.onState = onState;
    this.failures = 0;
    this.turn = 0;
    this.open();
  }

  open() {
    const turn = ++this.turn;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const protocols = token() ? ["aether", `aether.token.${token()}`] : ["aether"];
    this.socket?.close();
    let socket;
    try {
      socket = new WebSocket(`${scheme}://${location.host}${this.path}`, protocols);
    } catch { // a text that no token is
      this.onState("stranger");
      return;
    }
    this.socket = socket;
    socket.onmessage = (event) => {
      if (turn !== this.turn) return;
      this.failures = 0;
      this.onState("live");
      this.onMessage(JSON.parse(event.data));
    };
    socket.onclose = () => turn === this.turn && this.again(turn);
  }

  async again(turn) {
    const { status } = await ask("/status"); // a browser does not say why a WebSocket was refused
    if (turn !== this.turn) return;
    this.onState(status === 401 || status === 403 ? "stranger" : "lost");
    const pause = RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)];
    await wait(pause * (0.75 + Math.random() / 2));
    if (turn === this.turn && status !== 401 && status !== 403) this.open();
  }

  /** Whether it was sent. */
  send(message) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }
}

/** Events as they happen, from the last ones on: a stream over fetch, since an EventSource brings no token. */
export class Events {
  constructor(onEvents) {
    this.onEvents = onEvents;
    this.turn = 0;
  }

  async run() {
    const turn = ++this.turn;
    this.controller?.abort();
    let last = "";
    for (let failures = 0; turn === this.turn; failures++) {
      const list = await ask("/events?limit=100");
      if (list.status === 401 || list.status === 403) return;
      if (list.status === 200) {
        this.onEvents(list.body.events, true);
        last = list.body.next;
        failures = 0;
        await this.follow(turn, last).catch(() => undefined);
      }
      await wait(RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]);
    }
  }

  async follow(turn, last) {
    this.controller = new AbortController();
    const headers = fields({ Accept: "text/event-stream", "Last-Event-ID": last });
    const response = await fetch("/events", { headers, signal: this.controller.signal });
    if (!response.ok) return;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (turn === this.turn) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (text + value).split("\n\n");
      text = parts.pop();
      const found = parts.flatMap((part) => part.split("\n").filter((line) => line.startsWith("data: ")));
      const events = found.map((line) => JSON.parse(line.slice(6))).filter((event) => event.id);
      if (events.length) this.onEvents(events, false);
    }
  }
}
