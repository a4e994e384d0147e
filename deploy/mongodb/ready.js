// The health check: the services' own user can sign in and look. What fails throws, which the shell ends with a failure.
const market = db.getSiblingDB("stock_market");
market.auth("tapedeck", process.env.TAPEDECK_PASSWORD);
market.getCollectionNames();
