// @ts-check
// One stream of ticks for all tabs of a browser: it may open only six connections to a server by HTTP/1.1.

/** @type {Map<MessagePort, number>} */
const ports = new Map(); // when each was heard of last: a closed tab says nothing
/** @type {EventSource | null} */
let source = null;
let state = "off";
let mark = ""; // of the newest tick
const BEAT = 30000; // hidden tabs may beat no more than each minute, so only silence of several beats counts

/** @param {any} message */
function tell(message) {
  for (const port of ports.keys()) port.postMessage(message);
}

/** @param {string} url */
function open(url) {
  source = new EventSource(url);
  source.onopen = () => tell({ state: (state = "on") });
  source.onmessage = (event) => {
    const { e, v } = JSON.parse(event.data);
    mark = `${e}:${v}`;
    tell({ tick: event.data });
  };
  source.onerror = () => {
    const refused = source?.readyState === EventSource.CLOSED; // then the browser itself would not try again
    tell({ state: (state = "lost"), refused });
    if (refused) {
      source = null;
      setTimeout(() => ports.size && !source && open(url), 30000);
    }
  };
}

function clean() {
  for (const [port, heard] of ports) if (Date.now() - heard > 5 * BEAT) ports.delete(port);
  if (!ports.size && source) {
    source.close();
    source = null;
    state = "off";
  }
}

setInterval(clean, BEAT);

/** @param {any} event */
globalThis.onconnect = (event) => {
  const port = event.ports[0];
  port.onmessage = (/** @type {MessageEvent} */ { data }) => {
    if (data.bye) {
      ports.delete(port);
      clean();
      return;
    }
    ports.set(port, Date.now());
    if (!source && data.url) open(data.url);
    else if (data.url) port.postMessage({ state, mark });
  };
};
