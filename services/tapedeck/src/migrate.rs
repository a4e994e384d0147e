//! `tapedeck migrate`: creates or updates the tables or collections of a live store.

use anyhow::Context;
use service_runtime::ExposeSecret;

use crate::{cli::MigrateArgs, output::print_line};

/// Every service does the same when it starts. This command is for a user with more rights than the services have.
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
        print_line(format_args!("  the server does not support {refused}"))?;
    }
    Ok(())
}
