//! Logs a few lines into the data stream `shop-logs`: `cargo run --example shop -- http://localhost:9200`.

use std::{env, error::Error, time::Duration};

use tracing::{error, info, info_span};
use tracing_elastic::{Service, Settings, start};
use tracing_subscriber::{fmt, layer::SubscriberExt, util::SubscriberInitExt};

fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).unwrap_or_else(|| "http://localhost:9200".to_owned());
    let settings = Settings::new(url, "shop-logs", Service::new("shop", env!("CARGO_PKG_VERSION")));
    let (layer, logs) = start(settings, None)?;
    tracing_subscriber::registry().with(layer).with(fmt::layer()).init();

    for order in 1..=3 {
        let _order = info_span!("order", order).entered();
        info!(amount = 12.5, "paid");
    }
    error!(error = "no change", "not paid");

    let health = logs.monitor();
    let counts = logs.shutdown(Duration::from_secs(5));
    println!("{counts:?}, {:?}", health.health());
    Ok(())
}
