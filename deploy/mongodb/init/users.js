// Run once by the image, when the volume is made: the user that the services are. They read, write, and bring collections
// and indexes up to date in their own database; they cannot drop anything, nor look into another.
const market = db.getSiblingDB("stock_market");

market.createRole({
  role: "tapedeck",
  privileges: [
    {
      resource: { db: "stock_market", collection: "" },
      actions: [
        "find", "insert", "update", "remove",
        "createCollection", "collMod", "createIndex",
        "listCollections", "listIndexes", "collStats", "dbStats",
      ],
    },
  ],
  roles: [],
});
market.createUser({
  user: "tapedeck",
  pwd: process.env.TAPEDECK_PASSWORD,
  roles: ["tapedeck"],
});
