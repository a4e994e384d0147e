//! Supervision of tasks, and the deadlines of a shutdown.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use chrono::Utc;
use service_runtime::{SHUTDOWN_LIMIT, ShutdownBudget, Status, Tasks};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use topics::status::ComponentState;

#[tokio::test]
async fn a_task_that_ends_by_itself_takes_the_others_down_and_is_named() {
    let shutdown = CancellationToken::new();
    let mut tasks = Tasks::new(shutdown.clone());
    tasks.spawn("patient", async move {
        shutdown.cancelled().await;
        Ok(())
    });
    tasks.spawn("hasty", async { Ok(()) });
    let error = tasks.join().await.unwrap_err();
    assert!(format!("{error:#}").contains("`hasty` ended by itself"), "{error:#}");
}

#[tokio::test]
async fn a_failure_and_a_panic_name_their_task() {
    let mut tasks = Tasks::new(CancellationToken::new());
    tasks.spawn("store", async { anyhow::bail!("no space left") });
    let error = tasks.join().await.unwrap_err();
    assert!(format!("{error:#}").contains("the task `store` failed: no space left"), "{error:#}");

    let mut tasks = Tasks::new(CancellationToken::new());
    tasks.spawn("parser", async { panic!("index out of range") });
    let error = tasks.join().await.unwrap_err();
    assert!(format!("{error:#}").contains("panicked"), "{error:#}");
}

#[tokio::test(start_paused = true)]
async fn tasks_that_end_one_after_another_share_one_deadline_and_the_last_ones_are_named() {
    let shutdown = CancellationToken::new();
    let mut tasks = Tasks::new(shutdown.clone());
    for seconds in [5, 10, 15] {
        let shutdown = shutdown.clone();
        tasks.spawn(format!("slow {seconds}"), async move {
            shutdown.cancelled().await;
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(())
        });
    }
    for name in ["stuck", "caught"] {
        tasks.spawn(name, std::future::pending());
    }
    shutdown.cancel();
    let began = Instant::now();
    let error = tasks.join().await.unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 20);
    assert_eq!(error.to_string(), "not finished within 20 s of the shutdown: `caught`, `stuck`");
}

#[tokio::test(start_paused = true)]
async fn the_deadlines_of_a_shutdown_follow_one_another_below_its_limit() {
    let shutdown = CancellationToken::new();
    let budget = ShutdownBudget::new(shutdown.clone());
    let deadlines =
        [budget.connections(), budget.feeds(), budget.catch_up(), budget.store_drain(), budget.tasks()];
    assert!(deadlines.is_sorted_by_key(service_runtime::ShutdownDeadline::seconds));
    assert!(deadlines.iter().all(|deadline| deadline.seconds() < SHUTDOWN_LIMIT.as_secs()));

    tokio::time::timeout(Duration::from_mins(1), budget.connections().passed())
        .await
        .expect_err("there is no deadline before the shutdown");
    shutdown.cancel();
    let began = Instant::now();
    for deadline in deadlines {
        let seconds = deadline.seconds();
        deadline.passed().await;
        assert_eq!(began.elapsed().as_secs(), seconds, "counted from the beginning, not from the last one");
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_fails_is_down_with_its_reason_and_started_again_while_the_others_run() {
    let status = Status::new("alerts", "alerts-1", Utc::now());
    let shutdown = CancellationToken::new();
    let mut tasks = Tasks::new(shutdown.clone());
    let starts = Arc::new(AtomicU32::new(0));
    let (mail, counted, stopping) = (status.component("mail"), Arc::clone(&starts), shutdown.clone());
    let health = mail.clone();
    tasks.spawn_restarting("mail", mail, move || {
        let (start, health, stopping) =
            (counted.fetch_add(1, Ordering::SeqCst), health.clone(), stopping.clone());
        async move {
            match start {
                0 => anyhow::bail!("no route to the mail server"),
                1 => panic!("index out of range"),
                2 => Ok(()),
                _ => {
                    health.up("answers");
                    stopping.cancelled().await;
                    Ok(())
                }
            }
        }
    });
    let joined = tokio::spawn(tasks.join());
    let mut reasons = Vec::new();
    while mail_is(&status).0 != ComponentState::Up {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (state, detail) = mail_is(&status);
        if state == ComponentState::Down && reasons.last() != Some(&detail) {
            reasons.push(detail);
        }
    }
    assert_eq!(starts.load(Ordering::SeqCst), 4);
    for (reason, part) in
        reasons.iter().zip(["no route to the mail server", "index out of range", "by itself"])
    {
        assert!(reason.contains(part) && reason.contains("trying again in"), "{reason}");
    }
    assert_eq!(reasons.len(), 3);
    shutdown.cancel();
    joined.await.unwrap().unwrap();
}

fn mail_is(status: &Status) -> (ComponentState, String) {
    let mail = status.snapshot(Utc::now()).components.remove(0);
    (mail.state, mail.detail)
}
