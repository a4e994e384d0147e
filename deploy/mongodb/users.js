// The job mongodb-users runs this at every start. It creates the users and roles that are missing and sets their rights and
// passwords, so that an interrupted first start and a changed password are corrected by the next start.
const UNAUTHORIZED = 13;
const AUTHENTICATION_FAILED = 18;
const READ = ["find", "listCollections", "listIndexes", "collStats", "dbStats"];
// No user may drop a collection or read another database.
const WRITE = ["insert", "update", "remove", "createCollection", "collMod", "createIndex"];
// What the pages store of accounts, and the lease of the job that removes what has expired of them.
const ACCOUNTS = ["users", "sessions", "tokens", "alert_rules", "mails", "job_runs"];
const USERS = [
  { name: "tapedeck", password: process.env.MONGO_PASSWORD, actions: [...READ, ...WRITE] },
  { name: "reader", password: process.env.MONGO_READER_PASSWORD, actions: READ, changes: ACCOUNTS },
];

const admin = db.getSiblingDB("admin");
const market = db.getSiblingDB("stock_market");

// On localhost MongoDB lets the first user be created without a login; later it refuses that.
try {
  admin.createUser({ user: "root", pwd: process.env.MONGO_ROOT_PASSWORD, roles: ["root"] });
} catch (error) {
  if (error.code !== UNAUTHORIZED) throw error;
}
try {
  admin.auth("root", process.env.MONGO_ROOT_PASSWORD);
} catch (error) {
  if (error.code !== AUTHENTICATION_FAILED) throw error;
  throw new Error("the volume mongodb-data has another password of the administrator: set MONGO_ROOT_PASSWORD in .env to that one");
}

for (const { name, password, actions, changes = [] } of USERS) {
  const on = (collection, actions) => ({ resource: { db: "stock_market", collection }, actions });
  const changing = changes.map((collection) => on(collection, ["insert", "update", "remove"]));
  const role = { privileges: [on("", actions), ...changing], roles: [] };
  if (market.getRole(name)) market.updateRole(name, role);
  else market.createRole({ role: name, ...role });
  const user = { pwd: password, roles: [name] };
  if (market.getUser(name)) market.updateUser(name, user);
  else market.createUser({ user: name, ...user });
}
console.log(`MongoDB has the users ${USERS.map(({ name }) => name).join(" and ")} with the passwords of .env`);
