//! `tapedeck status`: health and figures of the running instance.

use std::process::ExitCode;

use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use serde_json::Value;

use crate::{cli::StatusArgs, http::Remote, output::print_line};

/// Exits with 1 if a part of the instance is down, for scripts.
pub(crate) async fn status(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let system = Remote::new(&args.instance.url)?.get("/v1/system", &[]).await?;
    if args.json {
        print_line(format_args!("{system:#}"))?;
    } else {
        print_tables(&system)?;
    }
    let is_up = components(&system).all(|part| text(part, "state") == "up");
    Ok(if is_up { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Feeds first, then the other parts.
fn components(system: &Value) -> impl Iterator<Item = &Value> {
    ["feeds", "components"].into_iter().flat_map(|kind| list(system, kind))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn print_tables(system: &Value) -> anyhow::Result<()> {
    let mut parts = Table::new();
    parts.load_style(UTF8_HORIZONTAL_ONLY).set_header(["service", "part", "state", "detail"]);
    for part in components(system) {
        parts.add_row(["service", "name", "state", "detail"].map(|field| text(part, field)));
    }
    print_line(parts)?;
    let mut partitions = Table::new();
    partitions.load_style(UTF8_HORIZONTAL_ONLY).set_header(["topic", "partition", "owner", "lag"]);
    for partition in list(system, "partitions") {
        let number = |field: &str| partition.get(field).map(ToString::to_string).unwrap_or_default();
        let owner = partition.get("owner").and_then(Value::as_str).unwrap_or("none");
        partitions.add_row([
            text(partition, "topic").to_owned(),
            number("partition"),
            owner.to_owned(),
            number("lag"),
        ]);
    }
    print_line(partitions)?;
    let mut figures = Table::new();
    figures.load_style(UTF8_HORIZONTAL_ONLY).set_header(["figure", "value"]);
    for process in list(system, "processes") {
        for (name, value) in process.get("figures").and_then(Value::as_object).into_iter().flatten() {
            figures.add_row([
                name.clone(),
                value.as_f64().map_or(value.to_string(), |value| format!("{value:.1}")),
            ]);
        }
    }
    print_line(figures)?;
    for process in list(system, "processes") {
        if let Some(ahead) = process.get("clock_ahead_seconds").and_then(Value::as_i64) {
            let direction = if ahead > 0 { "ahead" } else { "behind" };
            print_line(format_args!(
                "the clock of {} is {} s {direction}: synchronise the clocks of all machines with NTP (`timedatectl set-ntp true`)",
                text(process, "instance"),
                ahead.abs()
            ))?;
        }
    }
    Ok(())
}
