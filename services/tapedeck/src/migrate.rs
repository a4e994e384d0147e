//! `tapedeck migrate`: the tables or collections of a live store, before the services need them.

use anyhow::Context;
use service_runtime::ExposeSecret;

use crate::{cli::MigrateArgs, output::print_line};

/// Every service does the same when it starts; by itself it lets somebody do it whose user may do more than theirs.
pub(crate) async fn migrate(args: MigrateArgs) -> anyhow::Result<()> {
    let migration = live_store::migrate(args.store.url()?.expose_secret())
        .await
        .context("cannot prepare the live store (--store, STORE_URL)")?;
    if migration.done.is_empty() {
        print_line(format_args!("{}: nothing to change", migration.place))?;
    } else {
        print_line(format_args!("{}:", migration.place))?;
    }
    for done in &migration.done {
        print_line(format_args!("  {done}"))?;
    }
    for refused in &migration.refused {
        print_line(format_args!("  the server does without {refused}"))?;
    }
    Ok(())
}
