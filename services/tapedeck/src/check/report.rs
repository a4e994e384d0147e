//! The findings of the checks.

use serde::Serialize;
use serde_json::json;

use crate::output::print_line;

/// The result of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// It works.
    Ok,
    /// It works, and the operator should check it.
    Warn,
    /// It does not work.
    Wrong,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Wrong => "wrong",
        }
    }
}

#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    found: String,
    fix: String,
}

/// All findings, in the order of the checks.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    /// Adds a finding that is in order.
    pub(super) fn ok(&mut self, what: &'static str, found: impl Into<String>) {
        self.add(what, Verdict::Ok, found.into(), String::new());
    }

    /// Adds a finding that works and should be checked.
    pub(super) fn warn(&mut self, what: &'static str, found: impl Into<String>, fix: impl Into<String>) {
        self.add(what, Verdict::Warn, found.into(), fix.into());
    }

    /// Adds a finding that does not work.
    pub(super) fn wrong(&mut self, what: &'static str, found: impl Into<String>, fix: impl Into<String>) {
        self.add(what, Verdict::Wrong, found.into(), fix.into());
    }

    fn add(&mut self, what: &'static str, verdict: Verdict, found: String, fix: String) {
        self.0.push(Finding { what, verdict, found, fix });
    }

    pub(super) fn worst(&self) -> Verdict {
        self.0.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
    }

    /// Prints one line for each finding, and one for its fix; or JSON: `{"verdict", "checks": [{"what", "verdict", "found",
    /// "fix"}]}`.
    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            return print_line(format_args!("{:#}", json!({ "verdict": self.worst(), "checks": self.0 })));
        }
        for Finding { what, verdict, found, fix } in &self.0 {
            print_line(format_args!("{:<5}  {what:<11}  {found}", verdict.as_str()))?;
            if !fix.is_empty() {
                print_line(format_args!("{:20}fix: {fix}", ""))?;
            }
        }
        let count = |verdict| self.0.iter().filter(|finding| finding.verdict == verdict).count();
        print_line(match (count(Verdict::Wrong), count(Verdict::Warn)) {
            (0, 0) => "everything works".to_owned(),
            (0, warnings) => format!("everything works; warnings: {warnings}"),
            (wrong, warnings) => format!("wrong: {wrong}, warnings: {warnings}"),
        })
    }
}
