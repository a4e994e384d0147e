// The stream in a worker that all tabs of this browser share: it ends with the last tab, whichever was the first.

import type { TabMessage } from "./events";
import { Stream } from "./stream";

const stream = new Stream();

// The types of workers and of pages exclude each other; this is all of the former that is used.
const worker = self as unknown as { onconnect: (event: MessageEvent) => void };

worker.onconnect = ({ ports: [port] }) => {
  if (!port) return;
  const take = stream.connect((delivery) => port.postMessage(delivery));
  port.onmessage = ({ data }: MessageEvent<TabMessage>) => take(data);
};
