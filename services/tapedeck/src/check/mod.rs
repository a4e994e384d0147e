//! `tapedeck config check`: checks everything that the settings name, and reports problems with their fixes. Changes nothing,
//! except that `--probe` publishes one record.

mod analytics;
mod log;
mod log_lines;
mod mail;
mod news;
mod place;
mod report;
mod settings;

use std::process::ExitCode;

use service_runtime::LogOutput;

use self::report::{Report, Verdict};
pub(crate) use self::settings::read;
use crate::{cli::CheckArgs, data_dir::folder, run::data_path};

pub(crate) async fn check(args: CheckArgs, output: &LogOutput) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    let run = &args.run;
    for fault in &args.faults {
        report.wrong("settings", fault.reason.clone(), format!("fix {}", fault.setting));
    }
    for renamed in service_runtime::renamed_variables() {
        report.wrong("settings", renamed, "see CHANGELOG.md");
    }
    place::listen(&mut report, run.web.listen).await;
    place::pages(&mut report);
    let path = match producer::choose(&run.producer).await {
        Ok(choice) => {
            place::prices(&mut report, &choice);
            data_path(&run.places, &choice)
        }
        Err(error) => {
            report.wrong(
                "prices",
                format!("{error:#}"),
                "change --provider (PROVIDER) or --watchlist (WATCHLIST)",
            );
            folder(run.places.data.as_deref())
        }
    };
    if run.places.log.is_none() || run.places.store.is_none() {
        place::data_folder(&mut report, &path);
    }
    let identities = log::event_log(&mut report, &args, &path).await;
    let checkpoints = place::live_store(&mut report, &run.places, &path).await;
    log::compare_identities(&mut report, &identities, &checkpoints);
    analytics::analytics_store(&mut report, &run.analytics, &path).await;
    mail::mail(&mut report, &run.mail, &path).await;
    if let Err(error) = run.batch.schedule() {
        report.wrong("batch", format!("{error:#}"), "correct --batch-schedule (BATCH_SCHEDULE)");
    }
    news::news(&mut report, &run.news).await;
    log_lines::log_lines(&mut report, output).await;
    report.print(args.json)?;
    Ok(if report.worst() == Verdict::Wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
