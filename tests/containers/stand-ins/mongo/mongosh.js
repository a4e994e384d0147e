#!/usr/bin/env node
// A shell for scripts: [--host H] [--port P] [options] [database] FILE.js. With USERS_FILE set, as while a volume is made, users
// are written there. What a script calls runs in order after it has been read; the first failure ends it.
const fs = require("node:fs");
const vm = require("node:vm");
const { MongoClient } = require("/opt/mongosh/node_modules/mongodb");

const values = { "--host": "127.0.0.1", "--port": "27017" };
const files = [];
const args = process.argv.slice(2);
for (let i = 0; i < args.length; i += 1) {
  if (args[i] in values) values[args[i]] = args[(i += 1)];
  else if (args[i].endsWith(".js")) files.push(args[i]);
}

const steps = [];
const roles = new Map();
let client = null;

const database = (name) => ({
  getSiblingDB: database,
  createRole: ({ role, privileges }) => {
    for (const { resource } of privileges) {
      if (resource.db !== name) throw new Error(`a role of ${name} gives rights in ${resource.db}`);
    }
    roles.set(role, privileges.flatMap(({ actions }) => actions));
  },
  createUser: ({ user, pwd, roles: named }) => {
    if (!user || !pwd) throw new Error("a user needs a name and a password");
    const actions = named.flatMap((role) => roles.get(role) ?? []);
    if (actions.length === 0) throw new Error(`${user} has no rights`);
    fs.appendFileSync(process.env.USERS_FILE, `${[name, user, pwd, actions.join(",")].join("\t")}\n`);
  },
  auth: (username, password) =>
    steps.push(async () => {
      client = new MongoClient(`mongodb://${values["--host"]}:${values["--port"]}`, {
        auth: { username, password },
        authSource: name,
        serverSelectionTimeoutMS: 5000,
      });
      await client.connect();
    }),
  getCollectionNames: () => steps.push(() => client.db(name).listCollections().toArray()),
});

(async () => {
  const context = vm.createContext({ db: database("test"), process, console });
  for (const file of files) vm.runInContext(fs.readFileSync(file, "utf8"), context, { filename: file });
  for (const step of steps) await step();
  await client?.close();
})().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
