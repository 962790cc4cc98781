// The face of Prisma's query-engine program (HTTP, GraphQL bodies) over the same engine as a Node-API library: the
// program is to be had from Prisma's own host alone, the library from a package of the ordinary npm registry.
// `node query_engine.js -p PORT` with ENGINE_LIBRARY, PRISMA_DML_PATH and the datasource's variables; or `--version`.
"use strict";
const fs = require("fs");
const http = require("http");

const { QueryEngine, version } = require(process.env.ENGINE_LIBRARY);
const TRACE = "{}";

if (process.argv.includes("--version")) {
  console.log(`query-engine ${version().commit}`);
  process.exit(0);
}

function datasources() {
  const given = process.env.OVERWRITE_DATASOURCES;
  if (!given) return {};
  const text = given.startsWith("[") ? given : Buffer.from(given, "base64").toString();
  return Object.fromEntries(JSON.parse(text).map((source) => [source.name, source.url]));
}

const engine = new QueryEngine(
  {
    datamodel: fs.readFileSync(process.env.PRISMA_DML_PATH, "utf8"),
    env: process.env,
    logQueries: false,
    ignoreEnvVarErrors: false,
    datasourceOverrides: datasources(),
    logLevel: "error",
    configDir: ".",
  },
  (line) => console.error(line),
);

async function transaction(path, body) {
  const [, , first, verb] = path.split("/");
  let text;
  if (first === "start") text = await engine.startTransaction(body, TRACE);
  else if (verb === "commit") text = await engine.commitTransaction(first, TRACE);
  else if (verb === "rollback") text = await engine.rollbackTransaction(first, TRACE);
  else return [404, "{}"];
  return [JSON.parse(text).error_code ? 422 : 200, text];
}

async function answer(method, path, body, inside) {
  if (method === "POST" && path === "/") return [200, await engine.query(body, TRACE, inside)];
  if (method === "POST" && path.startsWith("/transaction/")) return transaction(path, body);
  return path === "/status" ? [200, '{"status":"ok"}'] : [404, "{}"];
}

function serve(request, response) {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    answer(request.method, request.url, Buffer.concat(parts).toString(), request.headers["x-transaction-id"])
      .catch((error) => [500, JSON.stringify({ error: error.message })])
      .then(([status, text]) => {
        const data = Buffer.from(text);
        response.writeHead(status, { "content-type": "application/json", "content-length": data.length });
        response.end(data);
      });
  });
}

async function main() {
  await engine.connect(TRACE);
  for (const name of ["SIGINT", "SIGTERM"]) process.on(name, () => process.exit(0));
  const port = Number(process.argv[process.argv.indexOf("-p") + 1]);
  http.createServer({ keepAliveTimeout: 600_000 }, serve).listen(port, "127.0.0.1");
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
