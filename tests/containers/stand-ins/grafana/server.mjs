// Answers as Grafana does while its provisioning can be read.
import { existsSync } from "node:fs";
import { createServer } from "node:http";

const dashboard = `${process.env.GF_PATHS_PROVISIONING}/dashboards/market.json`;
const server = createServer((_request, response) => {
  response.writeHead(existsSync(dashboard) ? 200 : 503, { "content-type": "application/json" });
  response.end('{"database":"ok"}');
});
process.on("SIGTERM", () => process.exit(0));
server.listen(3000, "0.0.0.0");
